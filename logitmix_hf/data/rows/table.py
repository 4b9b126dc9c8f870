"""Tables of rows in files and pipes: their columns known at once, their rows one after the other."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from logitmix_hf.data.rows.records import (
    DELIMITERS,
    LINES,
    Notes,
    Record,
    cell_rows,
    check_columns,
    json_rows,
)
from logitmix_hf.data.rows.stream import PACKED_SUFFIXES, PARQUET, Lines, check_exists, head, open_bytes, source_name
from logitmix_hf.errors import UserError, listed, nearest, one_line, pick

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": LINES,
    ".parquet": "parquet",
}
"""The kind of a file by its suffix; behind it one of :data:`PACKED_SUFFIXES` may stand."""
KINDS = {kind: kind for kind in dict.fromkeys(SUFFIXES.values())}
_LOOK_AHEAD = 100  # rows that tell which columns there are and which hold texts
_BATCH = 256  # rows of a typed table at once; images lie in such files too


class Table:
    """A source of rows, read once.

    Attributes:
        name: for messages.
        kind: a name in :data:`KINDS`.
        base: what paths in it are relative to.
        total: rows, where that is known.
        notes: what is surprising about the rows read so far.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        header: Sequence[str],
        rows: Iterator[Record],
        base: Path,
        notes: Notes | None = None,
        total: int | None = None,
        read: Callable[[Sequence[str]], Iterator[Record]] | None = None,
    ) -> None:
        self.name, self.kind, self.base, self.total = name, kind, base, total
        self.notes = notes or Notes()
        self._header, self._first, self._rows, self._read = list(header), list[Record](), rows, read

    def look(self, rows: int = _LOOK_AHEAD) -> list[Record]:
        """The first rows, which :meth:`read` gives again; of a table with types without its images and lists."""
        self._first += islice(self._rows, max(0, rows - len(self._first)))
        return self._first

    @property
    def has_types(self) -> bool:
        """Whether all values of a column are of one type, which the source knows."""
        return self._read is not None

    @property
    def columns(self) -> list[str]:
        """Those that exist, or that the first rows have."""
        return self._header or list(dict.fromkeys(key for record in self.look() for key in record.values or ()))

    def read(self, columns: Sequence[str] = ()) -> Iterator[Record]:
        """All rows, with these columns at least; by default with all."""
        return self._read(columns or self._header) if self._read else chain(self._first, self._rows)

    def note_lines(self) -> list[str]:
        """What is surprising about the rows read so far, one line each."""
        return self.notes.lines(self.name)

    def require(self, name: str, flag: str, why: str = "") -> str:
        """``name``, when there is such a column.

        Raises:
            UserError: naming the columns that exist and the flag to change.
        """
        if any(name in (record.values or ()) for record in self._first) or name in self.columns:
            return name
        raise no_column(self.name, name, self.columns, flag, why)


def no_column(where: str, name: str, columns: Sequence[str], flag: str, why: str = "") -> UserError:
    """The mistake of asking for a column that is not there."""
    hint = nearest(name, columns)
    if len(columns) == 1 and any(sign in columns[0] for sign in ",;\t|"):
        hint = " Its cells seem to be separated by something else than its name says: commas in .csv, tabs in .tsv."
    return UserError(f"{where} has no column {name!r}{why}.{hint} Columns: {listed(columns)}. See --{flag}.")


def open_rows(source: str | Path, kind: str | None = None, wanted: Sequence[str] = (), *, again: bool = False) -> Table:
    """The table in a file, in a folder that ``save_to_disk`` of datasets wrote, or in what comes by a pipe (``-`` is
    standard input). Opened once.

    CSV and TSV have a header and quote with ``"``; an empty cell is a missing value, ``""`` an empty text. Blank lines
    are no rows, but for the kind "text". Texts are UTF-8, or UTF-16 and UTF-32 with a mark at the start.

    Args:
        kind: a name in :data:`KINDS`; None: as the file's suffix says, and for a pipe as its first line does: JSON
            lines when it begins an object, CSV or TSV when its cells name every column ``wanted``, else texts.
        again: the source will be opened once more, which only a file allows.

    Raises:
        UserError: for a source that is missing, empty, binary, damaged, of unknown kind or without rows, or a header
            that names a column twice.
    """
    if kind is not None:
        pick(KINDS, kind, "input format")
    path = Path(source)
    if str(source) != "-":
        check_exists(path)
        if path.is_dir():
            return _saved_folder(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED_SUFFIXES else ""
    kind = kind or SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind is None and path.is_file():
        raise UserError(
            f"{str(source)!r} is of no known kind by its suffix ({', '.join(SUFFIXES)}, or these with"
            f" {' or '.join(PACKED_SUFFIXES)} behind)."
        )
    stream = open_bytes(source, again=again)
    if kind == "parquet" or head(stream).startswith(PARQUET):
        if packed or not path.is_file():
            raise UserError(
                f"{source_name(source)} is Parquet, which is read as a file, unpacked: its index is at its end."
            )
        stream.close()
        return _parquet(path)
    lines = Lines(source_name(source), stream)
    table = _of_lines(lines, kind or _kind_of(lines, wanted), Path() if str(source) == "-" else path.parent)
    if not table.look(1):
        what = "has columns but no rows" if table.columns else "is empty"
        raise UserError(f"{table.name} {what}; give at least one row.")
    if not table.columns:
        first = table.look()[0]
        raise UserError(
            f"Neither {table.name}, {first.where}, nor what follows can be read as {table.kind}: {first.wrong}."
        )
    return table


def _kind_of(lines: Lines, wanted: Sequence[str]) -> str:
    line = next(lines, "")
    lines.give_back([(lines.number, line)])
    if line.lstrip().startswith(("{", "[{")):
        return "json" if line.lstrip().startswith("[") else "jsonl"
    for kind, delimiter in DELIMITERS.items():
        if wanted and set(wanted) <= set(next(csv.reader([line], delimiter=delimiter), [])):
            return kind
    return LINES


def _of_lines(lines: Lines, kind: str, base: Path) -> Table:
    notes, header = Notes(), list[str]()
    if kind in DELIMITERS:
        header, records = cell_rows(lines, DELIMITERS[kind], notes)
    elif kind == LINES:
        header, records = [LINES], (Record(f"line {lines.number}", {LINES: line.rstrip("\r\n")}) for line in lines)
    else:
        records = json_rows(lines, one_a_line=kind == "jsonl")
    return Table(lines.name, kind, header, records, base, notes)


# --- tables with types ----------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {one_line(error)}.") from error
    return _typed(
        path,
        file.schema_arrow,
        file.metadata.num_rows,
        lambda columns: file.iter_batches(_BATCH, columns=list(columns), use_threads=False),
    )


def is_saved(path: Path) -> bool:
    """Whether a folder is what ``save_to_disk`` of datasets wrote, of one split."""
    return (path / "state.json").is_file()


def _saved_folder(path: Path) -> Table:
    if not is_saved(path):
        inner = sorted(one.parent.name for one in path.glob("*/state.json"))
        raise UserError(f"{str(path)!r} is a folder{f' of splits; give one of {listed(inner)}' if inner else ''}.")
    from datasets import Dataset

    data = Dataset.load_from_disk(str(path))
    return _typed(
        path,
        data.features.arrow_schema,
        len(data),
        lambda columns: data.select_columns(list(columns)).with_format("arrow").iter(_BATCH),
    )


def _typed(path: Path, schema: Any, total: int, batches: Callable[[Sequence[str]], Iterator[Any]]) -> Table:
    import pyarrow as pa

    def is_heavy(kind: Any) -> bool:  # images, lists: they need not be looked at to find a text
        return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def read(columns: Sequence[str]) -> Iterator[Record]:
        row = 0
        try:
            for batch in batches(columns):
                for values in batch.to_pylist():
                    row += 1
                    yield Record(f"row {row}", values)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} is damaged after row {row}: {one_line(error)}.") from error

    check_columns(str(path), schema.names)
    if not total:
        raise UserError(f"{path} has columns but no rows; give at least one.")
    light = [column.name for column in schema if not is_heavy(column.type)]
    return Table(str(path), "parquet", schema.names, read(light), path.parent, total=total, read=read)
