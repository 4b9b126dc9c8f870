"""One split of a data set whole, by its columns: what training reads, where prediction goes row by row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from logitmix_hf.data.rows.records import DELIMITERS, LINES, Record
from logitmix_hf.data.rows.stream import not_text
from logitmix_hf.data.rows.table import Table, no_column, open_rows
from logitmix_hf.errors import UserError, listed, one_line

_CHUNK = 10_000  # rows of strings that are handed to Arrow at once


@dataclass(frozen=True)
class Columns:
    """One split as it was read, before any judgement of its columns.

    where: how a message calls it: a file's path, or "split 'train' of nyu-mll/glue".
    table: the columns that Arrow can hold; CSV and TSV cells are strings.
    mixed: those that it cannot, as Python values: with more than one kind of value (JSON), or with what is no text.
    class_names: in order, of columns whose numbers stand for them (``ClassLabel`` of datasets).
    cells: True where every value is a string because the format knows nothing else (CSV, TSV).
    notes: what was surprising, one line each.
    places: of each row, for messages (``row 7 (line 8)``), where broken rows were let through, of which nothing is known.
    broken: number of such a row, from 0 -> why.
    """

    where: str
    table: pa.Table
    mixed: Mapping[str, list[Any]] = field(default_factory=dict)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cells: bool = False
    notes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    broken: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def names(self) -> list[str]:
        """All column names, in the data's order as far as Arrow holds them."""
        return [*self.table.column_names, *self.mixed]

    def take(self, rows: Sequence[int] | np.ndarray) -> Columns:
        """These rows alone, with the columns that Arrow can hold now."""
        kept = {name: _array([values[row] for row in rows], None) for name, values in self.mixed.items()}
        table = self.table.take(rows)
        for name in [name for name, values in kept.items() if not isinstance(values, list)]:
            table = table.append_column(name, kept.pop(name))
        return replace(self, table=table, mixed=kept, places=(), broken={})

    def require(self, name: str, flag: str) -> str:
        """``name``, when such a column exists.

        Raises:
            UserError: naming the columns that exist and the flag to change.
        """
        if name in self.names:
            return name
        raise no_column(self.where, name, self.names, flag)

    def values(self, name: str) -> list[Any]:
        """The column as Python values, missing ones as None; numbers that stand for class names become the names.

        Raises:
            UserError: for strings that are no text, and numbers beyond the names.
        """
        if name in self.mixed:
            for row, value in enumerate(self.mixed[name], start=1):
                if isinstance(value, str) and (wrong := not_text(value)):
                    raise UserError(f"{self.where}, row {row}: column {name!r} {wrong}.")
            return self.mixed[name]
        values = self.table.column(name).to_pylist()
        names = self.class_names.get(name)
        if names is None:
            return [None if value != value else value for value in values]  # NaN is the one value unequal to itself
        return [self._named(name, row, value, names) for row, value in enumerate(values, start=1)]

    def _named(self, column: str, row: int, value: Any, names: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._named(column, row, one, names) for one in value]
        if value is None or value < 0:  # datasets writes -1 where there is no label
            return None
        if value >= len(names):
            raise UserError(
                f"{self.where}, row {row}: column {column!r} has the number {value}, and declares {len(names)} names,"
                f" 0 to {len(names) - 1}: {listed(names, 5)}."
            )
        return names[value]


def check_file(path: str | Path, labelled: bool = True) -> None:
    """The checks of :func:`read_columns` that cost little: that the file is there, and its first rows can be read.

    Raises:
        UserError: as there.
    """
    if os.path.isdir(path):  # of a name that no file system takes too
        raise UserError(f"{str(path)!r} is a folder; give one file, or the folder as --dataset_name.")
    if open_rows(path, again=True).kind == LINES and labelled:
        raise UserError(f"{str(path)!r} is a file of lines without labels: give .csv, .tsv, .json, .jsonl or .parquet.")


def read_columns(path: str | Path, labelled: bool = True, broken: bool = False) -> Columns:
    """Read one file of a kind that :data:`logitmix_hf.data.rows.SUFFIXES` knows, all of it.

    CSV and TSV cells are strings: "1", "NA" and "2020-01-01" may be texts, and labels are judged later. Of JSON, a key
    that a row leaves out is missing there. Lines of plain text are one column, where no labels are needed (``labelled``).

    Args:
        broken: let rows that cannot be read through, as :attr:`Columns.broken`.

    Raises:
        UserError: as :func:`logitmix_hf.data.rows.open_rows`, and for rows that cannot be read, counted, with the first.
    """
    check_file(path, labelled)
    if (table := open_rows(path, again=True)).kind == "parquet":
        return _parquet(table)
    cells, bad, places = table.kind in DELIMITERS, dict[int, Record](), list[str]()
    rows = _values(table, bad, places if broken else None)
    chunks = iter(lambda: list(islice(rows, _CHUNK if cells else None)), [])
    made: dict[str, list[Any]] = {}
    for some in chunks:
        for name in table.columns if cells else dict.fromkeys(key for row in some for key in row):
            made.setdefault(name, []).append(_array([row.get(name) for row in some], pa.string() if cells else None))
    if bad and not broken:
        more, first = f" ({len(bad)} rows cannot be read, this is the first)" if len(bad) > 1 else "", min(bad)
        raise UserError(f"{table.name}, {bad[first].where}: {bad[first].wrong}{more}. Mend or remove what is broken.")
    arrow = {name: pa.chunked_array(parts) for name, parts in made.items() if list not in map(type, parts)}
    mixed = {
        name: [value for part in parts for value in (part if isinstance(part, list) else part.to_pylist())]
        for name, parts in made.items()
        if name not in arrow
    }
    count = len(next(iter(mixed.values()), next(iter(arrow.values()), [])))
    arrow_table = pa.table(arrow) if arrow else pa.table({"": pa.nulls(count)})
    return Columns(
        table.name,
        arrow_table,
        mixed,
        cells=cells,
        notes=tuple(table.note_lines()),
        places=tuple(places),
        broken={row: record.wrong for row, record in bad.items()},
    )


def _values(table: Table, bad: dict[int, Record], places: list[str] | None) -> Iterator[dict[str, Any]]:
    """The values row by row, of a broken one none; its record goes into ``bad``, and all places into ``places``."""
    for row, record in enumerate(table.read()):
        if record.values is None:
            bad[row] = record
        if places is not None:
            places.append(record.where)
        yield record.values or {}


def _array(values: list[Any], kind: pa.DataType | None) -> Any:
    """An Arrow array, or the values themselves where they are of several kinds or no texts."""
    kinds = {type(value) for value in values} - {type(None)} if kind is None else set()
    if bool in kinds and len(kinds) > 1:  # Arrow would read true as 1
        return values
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, RecursionError):
        return values


def _parquet(table: Table) -> Columns:
    from pyarrow import parquet

    try:
        arrow_table = parquet.ParquetFile(table.name).read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{table.name} is damaged: {one_line(error)}.") from error
    if b"huggingface" not in (arrow_table.schema.metadata or {}):
        return Columns(table.name, arrow_table)
    from datasets import Features

    return columns_of(table.name, arrow_table, Features.from_arrow_schema(arrow_table.schema))


def columns_of(where: str, table: pa.Table, features: Mapping[str, Any]) -> Columns:
    """A table of ``datasets`` with the class names that its features declare, also inside lists."""
    names = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if getattr(inner, "names", None):
            names[column] = tuple(inner.names)
    return Columns(where, table, class_names=names)
