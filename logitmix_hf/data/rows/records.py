"""Lines to rows: CSV, TSV, JSON and plain lines. A row that cannot be read is a row too: its number is known, and the next
one is read."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from logitmix_hf.data.rows.stream import Lines
from logitmix_hf.errors import UserError, listed, one_line

LINES = "text"
"""The one column of lines that are texts, and what such a table is called."""
DELIMITERS = {"csv": ",", "tsv": "\t"}
_OTHER_DELIMITERS = ",;\t|"
_LONGEST_CELL = 2**24  # characters; more, and a quote was left open


class Record(NamedTuple):
    """One row as it was read.

    where:  for messages: ``row 7 (line 8)``; rows count from 1 and leave the header out, lines do not.
    values: by column; None where the row is broken.
    wrong:  why it is broken, else "".
    """

    where: str
    values: dict[str, Any] | None = None
    wrong: str = ""


@dataclass
class Notes:
    """What is surprising about rows that were read all the same: by kind, how often and where first."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, what: str, where: str = "") -> None:
        count, first = self.found.get(what, (0, where))
        self.found[what] = (count + 1, first)

    def lines(self, name: str) -> list[str]:
        """One line for each kind, for a terminal."""
        return [
            f"{name}: {what}" if not first else f"{name}: {what}: {count} row{'s' * (count > 1)}, first {first}."
            for what, (count, first) in self.found.items()
        ]


OPEN_QUOTE = "a cell begins with a quotation mark that nothing closes; read as it stands, line by line"
SWALLOWED = "a quoted cell holds whole lines as it seems (is a quotation mark left open before them?)"


# --- CSV and TSV ----------------------------------------------------------------------------------------------------


class _Taken:
    """Hands lines over and remembers those of the row that is being read."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.now = lines, list[tuple[int, str]]()

    def __iter__(self) -> _Taken:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.now.append((self.lines.number, line))
        return line


def cell_rows(lines: Lines, delimiter: str, notes: Notes) -> tuple[list[str], Iterator[Record]]:
    """Header and rows of a CSV or TSV file; where the header has one cell with ``delimiter`` and several with another
    that fits the next line too, it is the other.

    A cell that begins with a quotation mark goes on, over line breaks, to the next mark before a delimiter or a line's
    end. Where something else follows that mark, the first one was text: its line is read as it stands, and so are the
    lines after it.
    """
    header = _header(lines, delimiter)
    if len(header) == 1 and (other := _other_delimiter(lines, header[0])):
        delimiter, header = other, next(csv.reader(header, delimiter=other))
        notes.add(f"cells are separated by {'tabs' if other == chr(9) else other!r}, as its header says.")
    check_columns(lines.name, header)
    return header, _cell_records(lines, header, delimiter, notes)


def check_columns(where: str, names: Sequence[str]) -> None:
    """Require the names of columns to be different.

    Raises:
        UserError: naming those that are not.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{where} has more than one column called {listed(twice)}; rename them.")


def _header(lines: Lines, delimiter: str) -> list[str]:
    try:
        return next((cells for cells in csv.reader(lines, delimiter=delimiter) if any(map(str.strip, cells))), [])
    except csv.Error as error:
        raise UserError(f"{lines.name}: the header cannot be read: {one_line(error)}.") from None


def _other_delimiter(lines: Lines, header: str) -> str:
    found = [sign for sign in _OTHER_DELIMITERS if sign in header]
    if len(found) != 1 or (line := next(lines, None)) is None:
        return ""
    lines.give_back([(lines.number, line)])
    cells, wanted = next(csv.reader([line], delimiter=found[0]), []), header.count(found[0]) + 1
    return found[0] if len(cells) == wanted else ""


def _cell_records(lines: Lines, header: list[str], delimiter: str, notes: Notes) -> Iterator[Record]:
    taken, row = _Taken(lines), 0
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    while True:
        taken.now.clear()
        wrong = note = ""
        before = csv.field_size_limit(_LONGEST_CELL)  # belongs to the whole process
        try:
            cells: list[Any] = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, note = _read_again(taken, len(header), delimiter)
            wrong = "" if cells else f"{one_line(error)}: is a quote left open?"
        finally:
            csv.field_size_limit(before)
        if not cells and not wrong:
            continue
        row += 1
        where = f"row {row} (line {taken.now[0][0]})"
        if cells and len(cells) != len(header):
            wrong = f"{len(cells)} cells where the header has {len(header)}"
        elif len(cells) > 1 and [cell.lstrip("\ufeff") for cell in cells] == header:
            wrong = "the header stands here again, as in files that were put together"
        if wrong:
            yield Record(where, wrong=wrong)
            continue
        if len(taken.now) > 1 and all(_is_row(line, len(header), delimiter) for _, line in taken.now):
            note = SWALLOWED
            where = f"row {row} (lines {taken.now[0][0]} to {taken.now[-1][0]})"
        if note:
            notes.add(note, where)
        if "" in cells:
            _mark_missing(cells, "".join(line for _, line in taken.now), delimiter)
        yield Record(where, dict(zip(header, cells, strict=True)))


def _read_again(taken: _Taken, width: int, delimiter: str) -> tuple[list[Any], str]:
    """A row with a quotation mark at the wrong place, as one of three readings has it; what is surprising about it.

    No cells where none of them fits. Only the row's own lines stay taken; the others are given back.
    """
    lines = [line for _, line in taken.now]
    loose = next(csv.reader(iter(lines), delimiter=delimiter), [])  # "a"b as the csv module and Arrow read it
    complete = len(loose) == width and not any(cell.endswith(("\n", "\r")) for cell in loose)
    if len(lines) == 1 and complete:
        return loose, ""
    literal = lines[0].rstrip("\r\n").split(delimiter)
    if len(literal) != width and complete:
        return loose, ""
    taken.lines.give_back(taken.now[1:])
    del taken.now[1:]
    return ([cell or None for cell in literal], OPEN_QUOTE) if len(literal) == width else ([], "")


def _is_row(line: str, width: int, delimiter: str) -> bool:
    """Whether a line looks like a whole row: in prose, a comma has a space after it."""
    cells = line.rstrip("\r\n").split(delimiter)
    return len(cells) == width > 1 and not any(cell[:1].isspace() for cell in cells[1:])


def _mark_missing(cells: list[Any], text: str, delimiter: str) -> None:
    """Make None of the empty cells that have no quotes; the reader of csv does not tell them apart."""
    at, pattern = 0, re.compile(rf'"(?:[^"]|"")*"[^{delimiter}]*|[^{delimiter}]*')
    for number in range(len(cells)):
        found = pattern.match(text, at)
        assert found is not None
        if not found[0].strip("\r\n"):
            cells[number] = None
        at = found.end() + 1


# --- JSON -----------------------------------------------------------------------------------------------------------


def json_rows(lines: Lines, one_a_line: bool) -> Iterator[Record]:
    """Objects, one a line, or the rows of one document (:func:`_rows_of`), which is read whole.

    Args:
        one_a_line: the name says so; else a first line that is no JSON by itself begins a document.
    """
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    number, (value, wrong) = lines.number, _parsed(first)
    if isinstance(value, dict):
        document = _rows_of(lines.name, value) not in (None, [value]) and _is_last(lines)
    else:
        document = first.lstrip().startswith("[") or not one_a_line
    if not document:
        yield _record(f"row 1 (line {number})", value, wrong)
        row = 1
        for line in lines:
            if line.strip():
                row += 1
                yield _record(f"row {row} (line {lines.number})", *_parsed(line))
        return
    if wrong:
        value, wrong = _parsed(first + "".join(lines))
    rows = None if wrong else _rows_of(lines.name, value)
    if rows is None or (rows and not any(isinstance(row, dict) for row in rows)):
        raise UserError(
            f"{lines.name} is no JSON: {wrong}."
            if wrong
            else f'{lines.name} must hold objects, one a row: [{{"text": …, "label": …}}, …], or one object a line.'
        )
    for row, one in enumerate(rows, start=1):
        yield _record(f"row {row}", one)


def _is_last(lines: Lines) -> bool:
    """Whether only blank lines follow."""
    if (line := next((line for line in lines if line.strip()), None)) is None:
        return True
    lines.give_back([(lines.number, line)])
    return False


def _record(where: str, value: Any, wrong: str = "") -> Record:
    if wrong or isinstance(value, dict):
        return Record(where, None if wrong else value, wrong and f"no JSON: {wrong}")
    return Record(where, wrong=f"no JSON object, but a {type(value).__name__}")


class _TwiceError(Exception):
    """An object that has a key twice, of which Python keeps the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(f"an object has {listed(sorted({name for name in names if names.count(name) > 1}))} twice")
    return made


def _parsed(text: str) -> tuple[Any, str]:
    """The value, or why it is none. NaN, which Python writes and JSON does not know, is None."""
    try:
        known = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
        return json.loads(text, parse_constant=known.__getitem__, object_pairs_hook=_object), ""
    except _TwiceError as error:
        return None, one_line(error)
    except RecursionError:
        return None, "nested too deep"
    except json.JSONDecodeError as error:
        return None, one_line(error)
    except ValueError:
        return None, "a number of more than 4,300 digits"


def _rows_of(name: str, document: Any) -> list[Any] | None:
    """The rows of a JSON document; None where it holds none.

    A list of rows, by itself or under one name (``{"data": […]}``); pandas' orients "columns" (its default), "index",
    "split" and "table"; lists by column; a single row.

    Raises:
        UserError: where several lists of rows or two readings fit.
    """
    if isinstance(document, list):
        return document
    if not isinstance(document, dict) or not document:
        return None
    names, values = list(document), list(document.values())
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        check_columns(name, document["columns"])
        return [dict(zip(document["columns"], row, strict=False)) for row in document["data"]]
    lists = {key: some for key, some in document.items() if some and isinstance(some, list)}
    listed_rows = [key for key, some in lists.items() if all(isinstance(one, dict) for one in some)]
    if "data" in listed_rows or len(listed_rows) == len(names) == 1:
        return document["data" if "data" in listed_rows else names[0]]
    if len(listed_rows) == len(names):
        raise UserError(f"{name} holds several lists of rows ({listed(names, 5)}): write each to a file of its own.")
    if len(names) > 1 and all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    if all(isinstance(value, dict) and value and value.keys() == values[0].keys() for value in values):
        by_column, by_row = (all(key.isdigit() for key in keys) for keys in (values[0], names))
        if by_column == by_row:
            raise UserError(f"{name}: rows and columns cannot be told apart: write it with orient='records'.")
        return values if by_row else [{key: document[key][row] for key in names} for row in values[0]]
    return [document]
