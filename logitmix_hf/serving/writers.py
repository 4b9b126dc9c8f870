"""Answers to CSV, JSON lines or Parquet, row by row, into a file that is there whole or not at all, or to stdout."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from logitmix_hf.disk import replacing, why_no_name, why_not_writable
from logitmix_hf.errors import UserError, listed, pick
from logitmix_hf.tables import csv_text

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
KINDS = {kind: kind for kind in SUFFIXES.values()}
_GROUP = 8192  # rows of a Parquet file that are held at once


class Writer(Protocol):
    """Takes answers by column, one a row, in order."""

    def write(self, answer: Mapping[str, Any]) -> None: ...

    def flush(self) -> None: ...


def output_kind(output: str | None, kind: str | None, overwrite: bool = False, source: str = "-") -> str:
    """The format of ``output``, after the mistakes that can be known before anything is computed.

    Args:
        output: a file; None is stdout.
        kind: a name in :data:`KINDS`; None: as the file's suffix says, CSV for stdout.
        source: the input, which must not be written over.

    Raises:
        UserError: for a file that exists, a folder, a place that cannot be written, an unknown kind, or Parquet to
            stdout.
    """
    if kind is not None:
        pick(KINDS, kind, "output format")
    if output is None:
        if kind == "parquet":
            raise UserError("Parquet is no text to print: give a file (--output predictions.parquet).")
        return kind or "csv"
    path = Path(output)
    if reason := why_not_writable(Path(os.path.realpath(path)).parent):
        raise UserError(f"--output {output!r} cannot be written ({reason}); give another file.")
    if reason := why_no_name(path):
        raise UserError(f"--output {listed([output])} cannot be written ({reason}); give another file.")
    if path.is_dir():
        raise UserError(f"--output {output!r} is a folder; give a file: {', '.join(SUFFIXES)}.")
    if path.exists() and not path.is_file():
        raise UserError(f"--output {output!r} is no file; leave --output out to print, and lead that where you like.")
    if kind is None and path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output {output!r} is of no known kind; known by their suffix: {', '.join(SUFFIXES)}.")
    if path.exists():
        if source != "-" and Path(source).exists() and path.samefile(source):
            raise UserError(f"--output {output!r} is the input itself; give another file.")
        if not overwrite:
            raise UserError(f"--output {output!r} exists: give another file, or replace it by --overwrite.")
    return kind or SUFFIXES[path.suffix.lower()]


@contextmanager
def writing(output: str | None, kind: str, columns: Mapping[str, str]) -> Iterator[Writer]:
    """A writer of answers with these columns (name to kind, as :class:`~logitmix_hf.serving.answers.Answers` has
    them). The file appears when all is written; after a mistake it is as it was before."""
    if output is None:
        yield _LINES[kind](sys.stdout, columns)
        sys.stdout.flush()
        return
    with replacing(Path(output)) as temporary:
        if kind == "parquet":
            with _Parquet(temporary, columns) as writer:
                yield writer
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield _LINES[kind](file, columns)


class _Csv:
    """Lists as JSON, formulas as text, true and false, probabilities to six digits, nothing where there is no answer."""

    def __init__(self, file: IO[str], columns: Mapping[str, str]) -> None:
        self.file, self.columns = file, columns
        self.writer = csv.writer(file, lineterminator="\n")
        self.writer.writerow(map(csv_text, self.columns))

    def write(self, answer: Mapping[str, Any]) -> None:
        self.writer.writerow([_cell(_rounded(answer[name], kind)) for name, kind in self.columns.items()])

    def flush(self) -> None:
        self.file.flush()


class _JsonLines:
    """One object a row, probabilities to six digits, null where there is no answer."""

    def __init__(self, file: IO[str], columns: Mapping[str, str]) -> None:
        self.file, self.columns = file, columns

    def write(self, answer: Mapping[str, Any]) -> None:
        values = {name: _rounded(answer[name], kind) for name, kind in self.columns.items()}
        self.file.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")

    def flush(self) -> None:
        self.file.flush()


_LINES = {"csv": _Csv, "jsonl": _JsonLines}


def _rounded(value: Any, kind: str) -> Any:
    if kind not in ("number", "numbers"):  # the input's own is not touched
        return value
    if isinstance(value, list):
        return [_rounded(one, kind) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str):
        return csv_text(value)
    return str(value).lower() if isinstance(value, bool) else value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, bytes) else repr(value)


class _Parquet:
    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kinds = {
            "index": pa.int64(),
            "text": pa.string(),
            "number": pa.float64(),
            "real": pa.float64(),
            "any": pa.string(),
            "boolean": pa.bool_(),
            "texts": pa.list_(pa.string()),
            "numbers": pa.list_(pa.float64()),
        }
        self.schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self.mixed = [name for name, kind in columns.items() if kind == "any"]
        self.file, self.rows = parquet.ParquetWriter(path, self.schema), list[Mapping[str, Any]]()

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._write_group()
        self.file.close()

    def write(self, answer: Mapping[str, Any]) -> None:
        if self.mixed:
            answer = {**answer, **{name: _text(answer[name]) for name in self.mixed}}
        self.rows.append(answer)
        if len(self.rows) >= _GROUP:
            self._write_group()

    def flush(self) -> None: ...

    def _write_group(self) -> None:
        import pyarrow as pa

        self.file.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows = []
