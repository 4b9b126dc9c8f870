"""Lines to rows: CSV, TSV, JSON lines and plain lines. Never the whole file; and a broken row is a row too, so that its
number is known and the next one is read."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from logitmix_hf.errors import UserError, listed, one_line

LINES = "text"
"""The one column of lines that are texts, and what such a table is called."""
_LONGEST_CELL = 2**24  # characters; more, and a quote was left open


@dataclass(frozen=True)
class Record:
    """One row as it was read.

    where:  for messages: ``row 7 (line 8)``; rows count from 1 and leave the header out, lines do not.
    values: by column; None where the row is broken.
    wrong:  why it is broken, else "".
    """

    where: str
    values: dict[str, Any] | None = None
    wrong: str = ""


Lines = Iterator[tuple[int, str]]
"""Lines with their ends, numbered from 1. What is not UTF-8 in them became lone surrogates."""


def numbered_lines(stream: Any) -> Lines:
    """The lines of a binary stream, which is read as far as they are asked for."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    return enumerate(text, start=1)


def plain_lines(lines: Lines) -> Iterator[Record]:
    for number, line in lines:
        yield Record(f"line {number}", {LINES: line.rstrip("\r\n")})


def json_lines(name: str, lines: Lines) -> Iterator[Record]:
    row = 0
    for number, line in lines:
        if not line.strip():
            continue
        row += 1
        where = f"row {row} (line {number})"
        if row == 1 and line.lstrip().startswith("["):
            raise UserError(
                f"{name} is one JSON list, which cannot be read row by row: write one object a line (jq -c '.[]' does)."
            )
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Record(where, wrong=f"no JSON: {one_line(error)}")
            continue
        if isinstance(values, dict):
            yield Record(where, values)
        else:
            yield Record(where, wrong=f"no JSON object, but a {type(values).__name__}")


class _Taken:
    """Hands lines over and remembers those of the row that is being read."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.number, self.now = lines, 0, list[str]()

    def __iter__(self) -> Iterator[str]:
        for number, line in self.lines:
            self.number = number
            self.now.append(line)
            yield line


def cell_rows(name: str, lines: Lines, delimiter: str) -> tuple[list[str], Iterator[Record]]:
    """Header and rows of a CSV or TSV file."""
    taken = _Taken(lines)
    reader = csv.reader(iter(taken), delimiter=delimiter)
    try:
        with _long_cells():
            header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise UserError(f"{name}: the header cannot be read: {one_line(error)}.") from None
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise UserError(f"{name} has more than one column called {listed(twice)}; rename them.")

    def records() -> Iterator[Record]:
        row = 0
        while True:
            taken.now.clear()
            start = taken.number + 1
            try:
                with _long_cells():
                    cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row += 1
                yield Record(f"row {row} (line {start})", wrong=f"{one_line(error)}: is a quote left open?")
                continue
            if not cells:
                continue
            row += 1
            where = f"row {row} (line {start})"
            if len(cells) != len(header):
                yield Record(where, wrong=f"{len(cells)} cells where the header has {len(header)}")
                continue
            values: dict[str, Any] = dict(zip(header, cells, strict=True))
            if "" in cells:
                _mark_missing(values, "".join(taken.now), delimiter)
            yield Record(where, values)

    return header, records()


def _mark_missing(values: dict[str, Any], text: str, delimiter: str) -> None:
    """Make None of the empty cells that have no quotes; the reader of csv does not tell them apart."""
    at, pattern = 0, re.compile(rf'"(?:[^"]|"")*"[^{delimiter}]*|[^{delimiter}]*')
    for column in values:
        found = pattern.match(text, at)
        assert found is not None
        if not found[0].strip("\r\n"):
            values[column] = None
        at = found.end() + 1


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell be as long as a book while a row is read: the limit belongs to the whole process."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
