"""Own data: CSV, TSV, JSON, JSON lines and Parquet files to columns, each mistake named before anything slow."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from logitmix_hf.errors import UserError, listed, nearest, one_line


@dataclass(frozen=True)
class RawSplit:
    """One split as it was read, before any judgement of its columns.

    where: how a message calls it: a file's path, or "split 'train' of nyu-mll/glue".
    table: the columns that Arrow can hold; CSV and TSV cells are strings.
    mixed: columns with more than one kind of value in them (possible in JSON only), as Python values.
    names: class names, in order, of columns whose numbers stand for them (``ClassLabel`` of datasets).
    cells: True where every value is a string because the format knows nothing else (CSV, TSV).
    """

    where: str
    table: pa.Table
    mixed: dict[str, list[Any]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cells: bool = False

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def columns(self) -> list[str]:
        """All column names, in the data's order as far as Arrow holds them."""
        return [*self.table.column_names, *self.mixed]

    def require(self, name: str, flag: str) -> str:
        """``name``, when such a column exists.

        Raises:
            UserError: naming the columns that exist and the flag to change.
        """
        if name in self.columns:
            return name
        hint = nearest(name, self.columns)
        if len(self.columns) == 1 and any(sign in self.columns[0] for sign in ";\t|"):
            hint = " Its cells seem to be separated by something else than its name says: write .csv with commas, .tsv with tabs."  # fmt: skip  # noqa: E501
        raise UserError(f"{self.where} has no column {name!r}.{hint} Columns: {listed(self.columns)}. See --{flag}.")

    def values(self, name: str) -> list[Any]:
        """The column as Python values, missing ones as None; numbers that stand for class names become the names."""
        if name in self.mixed:
            return self.mixed[name]
        values = self.table.column(name).to_pylist()
        names = self.names.get(name)
        if names is None:
            return [None if value != value else value for value in values]  # NaN is the one value unequal to itself
        return [_named(value, names) for value in values]


def _named(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return None if value is None or value < 0 else names[value]  # datasets writes -1 where there is no label


def read_file(path: str | Path) -> RawSplit:
    """Read one data file; its suffix says of which kind (:data:`KINDS`).

    CSV and TSV have a header, are UTF-8 and quote with ``"``; an empty cell is a missing value, ``""`` an empty text.
    JSON is a list of objects or, as JSON lines, one object a line; a key that a row leaves out is missing there.

    Raises:
        UserError: for a file that is missing, a folder, empty, without rows, binary, broken, or of unknown kind.
    """
    path = Path(path)
    reader = check_file(path)
    try:
        split = reader(path)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except (pa.ArrowException, csv.Error, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read as {path.suffix.lstrip('.')}: {one_line(error)}") from error
    if len(split) == 0:
        raise UserError(f"{path} has columns but no rows; give a file with at least one row.")
    return split


def check_file(path: str | Path) -> Callable[[Path], RawSplit]:
    """The reader of ``path``'s kind, after the checks that cost nothing: it exists, is known, not empty, not binary.

    Raises:
        UserError: as :func:`read_file`.
    """
    path = Path(path)
    check_exists(path)
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder; give one file, or the folder as --dataset_name.")
    check_unpacked(path)
    if path.suffix.lower() not in KINDS:
        raise UserError(f"{str(path)!r} is of no known kind; known by their suffix: {', '.join(KINDS)}.")
    check_content(path, packed=path.suffix.lower() == ".parquet")
    return KINDS[path.suffix.lower()]


def check_exists(path: Path) -> None:
    """Require a file or folder.

    Raises:
        UserError: naming the nearest name beside it.
    """
    if not path.exists():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"There is no file {str(path)!r}.{nearest(path.name, siblings)}")


PACKED = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd", ".zip": "unzip"}
"""What unpacks a file, by its suffix."""


def check_unpacked(path: Path, more: str = "") -> None:
    """Refuse a packed file, in words that say how to unpack it, and what ``more`` there is to do."""
    if (tool := PACKED.get(path.suffix.lower())) is not None:
        raise UserError(f"{str(path)!r} is packed; unpack it first ({tool} {path.name}){more}.")


def check_content(path: Path, packed: bool) -> None:
    """Require a file to be readable and not empty, and one that is not ``packed`` to look like text.

    Raises:
        UserError: saying what it is instead.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8192)
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if not start.strip():
        raise UserError(f"{path} is empty; give a file with at least one row.")
    if not packed and b"\0" in start:
        raise UserError(f"{path} is binary, not text; is its suffix right, or is it UTF-16? Save it as UTF-8.")


def _read_cells(delimiter: str) -> Callable[[Path], RawSplit]:
    def read(path: Path) -> RawSplit:
        from pyarrow import csv as arrow_csv

        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter), [])
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise UserError(f"{path} has more than one column called {listed(twice)}; rename them.")
        # every cell stays a string: "1", "NA" and "2020-01-01" may be texts, and labels are judged in labels.py
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        try:
            table = arrow_csv.read_csv(path, parse_options=parse, convert_options=convert)
        except pa.ArrowInvalid as error:
            if "invalid UTF8" in str(error):
                raise UserError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
            raise
        return RawSplit(str(path), table, cells=True)

    return read


def _read_json(path: Path) -> RawSplit:
    text = path.read_text(encoding="utf-8-sig")
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _read_json_lines(path)  # JSON lines under the name .json are as common as JSON itself
    if isinstance(rows, dict):
        rows = [rows]  # the one line of a JSON lines file
    return _from_rows(path, rows)


def _read_json_lines(path: Path) -> RawSplit:
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise UserError(f"{path}, line {number}, is no JSON: {one_line(error)}") from error
    return _from_rows(path, rows)


def _from_rows(path: Path, rows: Any) -> RawSplit:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f'{path} must hold objects, one a row: [{{"text": …, "label": …}}, …], or one object a line.')
    columns: dict[str, pa.Array] = {}
    mixed: dict[str, list[Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values} - {type(None)}
        try:
            if bool in kinds and len(kinds) > 1:
                raise pa.ArrowInvalid("Arrow would read true as 1")
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            mixed[name] = values
    table = pa.table(columns) if columns else pa.table({"": pa.nulls(len(rows))})
    return RawSplit(str(path), table, mixed)


def _read_parquet(path: Path) -> RawSplit:
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read()
    return from_features(str(path), table, _stored_features(table))


def _stored_features(table: pa.Table) -> Any:
    """The features that ``datasets`` stores in the schema, as its own class; empty where a file has none."""
    if b"huggingface" not in (table.schema.metadata or {}):
        return {}
    from datasets import Features

    return Features.from_arrow_schema(table.schema)


def from_features(where: str, table: pa.Table, features: Any) -> RawSplit:
    """A table of ``datasets`` with the class names that its features declare, also inside lists."""
    names = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if getattr(inner, "names", None):
            names[column] = tuple(inner.names)
    return RawSplit(where, table, names=names)


KINDS: dict[str, Callable[[Path], RawSplit]] = {
    ".csv": _read_cells(","),
    ".tsv": _read_cells("\t"),
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
"""The kinds of files by suffix."""
