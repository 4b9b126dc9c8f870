"""Tables in files and pipes, of any kind: their columns known at once, their rows one after the other."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, listed, nearest, one_line, pick
from logitmix_hf.serving.records import LINES, Lines, Record, cell_rows, json_lines, numbered_lines, plain_lines
from logitmix_hf.text.files import check_content, check_exists, check_unpacked

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".parquet": "parquet",
}
"""The kind of a file by its suffix."""
KINDS = {kind: kind for kind in dict.fromkeys(SUFFIXES.values())}
DELIMITERS = {"csv": ",", "tsv": "\t"}
_GZIP = "\x1f\udc8b"  # how such a file begins, as :func:`numbered_lines` reads it
_LOOK_AHEAD = 100  # rows that tell which columns there are and which hold texts
_PARQUET_ROWS = 256  # at once; images lie in such files too


@dataclass(frozen=True)
class Table:
    """A source of rows.

    name:    for messages.
    kind:    a name in :data:`KINDS`.
    columns: that exist, or that the first rows have.
    first:   the first rows, which :attr:`read` gives again.
    read:    all rows with the columns asked for at least; once.
    base:    what paths in it are relative to.
    total:   rows, where that is known.
    """

    name: str
    kind: str
    columns: list[str]
    first: list[Record]
    read: Callable[[list[str]], Iterator[Record]]
    base: Path = field(default_factory=Path)
    total: int | None = None

    def require(self, name: str, flag: str, why: str = "") -> str:
        """``name``, when there is such a column.

        Raises:
            UserError: naming the columns that exist and the flag to change.
        """
        if name in self.columns:
            return name
        hint = nearest(name, self.columns)
        if len(self.columns) == 1 and self.kind in DELIMITERS and any(sign in self.columns[0] for sign in ",;\t|"):
            hint = " Its cells seem to be separated by something else than its name says: see --input_format."
        raise UserError(
            f"{self.name} has no column {name!r}{why}.{hint} Columns: {listed(self.columns)}. See --{flag}."
        )


def open_table(source: str, kind: str | None = None, wanted: tuple[str, ...] = ()) -> Table:
    """The table in a file, or in what comes by a pipe where ``source`` is ``-``.

    CSV and TSV have a header and quote with ``"``; an empty cell is a missing value, ``""`` an empty text. Blank lines
    are no rows, but for the kind "text".

    Args:
        kind: a name in :data:`KINDS`; None: as the file's suffix says, and for a pipe as its first line does: JSON
            lines when it begins an object, CSV or TSV when its cells name every column ``wanted``, else texts.

    Raises:
        UserError: for a file that is missing, empty, binary, of unknown kind or without rows, or a header that names a
            column twice.
    """
    if kind is not None:
        pick(KINDS, kind, "input format")
    if source == "-":
        return _from_pipe(kind, wanted)
    path = Path(source)
    check_exists(path)
    if path.is_dir():
        raise UserError(f"{source!r} is a folder; give one file: {', '.join(SUFFIXES)}.")
    check_unpacked(path, f", or send it through a pipe (zcat {path.name} | …) to --input -" * (path.suffix == ".gz"))
    kind = kind or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"{source!r} is of no known kind by its suffix ({', '.join(SUFFIXES)}): say which by --input_format"
            f" {' or '.join(KINDS)}."
        )
    check_content(path, packed=kind == "parquet")
    if kind == "parquet":
        return _parquet(path)
    return _of_lines(source, kind, numbered_lines(open(path, "rb")), path.parent)


def _from_pipe(kind: str | None, wanted: tuple[str, ...]) -> Table:
    if kind == "parquet":
        raise UserError("Parquet cannot be read from a pipe, its table of contents is at its end: give the file.")
    lines = numbered_lines(sys.stdin.buffer)
    first = next(lines, None)
    if first is None:
        raise UserError("Nothing came by the pipe (--input -): give at least one row.")
    if "\0" in first[1] or first[1].startswith(_GZIP):
        raise UserError("What comes by the pipe (--input -) is binary, not text: unpack it first (zcat), as UTF-8.")
    return _of_lines("standard input", kind or _kind_of(first[1], wanted), chain([first], lines), Path())


def _kind_of(line: str, wanted: tuple[str, ...]) -> str:
    if line.lstrip().startswith("{"):
        return "jsonl"
    for kind, delimiter in DELIMITERS.items():
        if wanted and set(wanted) <= set(next(csv.reader([line], delimiter=delimiter), [])):
            return kind
    return LINES


def _of_lines(name: str, kind: str, lines: Lines, base: Path) -> Table:
    """``kind`` is any but Parquet."""
    columns: list[str] = []
    if kind == "jsonl":
        records = json_lines(name, lines)
    elif kind == LINES:
        columns, records = [LINES], plain_lines(lines)
    else:
        columns, records = cell_rows(name, lines, DELIMITERS[kind])
    first = list(islice(records, _LOOK_AHEAD))
    if not first:
        raise UserError(f"{name} has no rows; give at least one.")
    known = columns or list(dict.fromkeys(key for record in first for key in record.values or ()))
    if not known:
        raise UserError(f"{name}, {first[0].where}, cannot be read as {kind}, nor can what follows: {first[0].wrong}.")
    return Table(name, kind, known, first, lambda _: chain(first, records), base)


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    def is_heavy(kind: Any) -> bool:  # images, lists: they need not be looked at to find a text
        return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    try:
        file = parquet.ParquetFile(path, pre_buffer=False)
        columns, total = file.schema_arrow.names, file.metadata.num_rows
        light = [column.name for column in file.schema_arrow if not is_heavy(column.type)]
        first = list(islice(_of_batches(file, light), _LOOK_AHEAD))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {one_line(error)}.") from error
    if not total:
        raise UserError(f"{path} has columns but no rows; give a file with at least one row.")

    def read(wanted: list[str]) -> Iterator[Record]:
        try:
            yield from _of_batches(file, wanted)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} is damaged: {one_line(error)}.") from error

    return Table(str(path), "parquet", columns, first, read, path.parent, total)


def _of_batches(file: Any, columns: list[str]) -> Iterator[Record]:
    row = 0
    for batch in file.iter_batches(_PARQUET_ROWS, columns=columns, use_threads=False):
        for values in batch.to_pylist():
            row += 1
            yield Record(f"row {row}", values)
