"""Which columns of a data set hold the texts and the label, asked for or found."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from logitmix_hf.data.cells import NUMBER
from logitmix_hf.data.labels import row_numbers
from logitmix_hf.data.rows import Columns
from logitmix_hf.errors import UserError, listed

LABEL_COLUMNS = ("label", "labels")
_OWN = ("labels", "idx", "posterior")  # names that the made splits use themselves


def find_label_column(split: Columns, asked: str | None, texts: tuple[str, ...] | None = None) -> str:
    """The column asked for, else "label", else "labels".

    Raises:
        UserError: when there is none, naming the columns that exist, and those beside ``texts`` that may be meant.
    """
    wanted = LABEL_COLUMNS if asked is None else (asked,)
    if found := [name for name in wanted if name in split.names]:
        return found[0]
    try:
        return split.require(wanted[0], "label_column")
    except UserError as mistake:
        raise UserError(f"{mistake}{proposed(split, asked, texts or ())}") from None


def proposed(split: Columns, asked: str | None, texts: tuple[str, ...]) -> str:
    """Which columns may hold the labels, in a sentence: those asked for by commas, else those whose values repeat."""
    parts = [] if asked is None else [part.strip() for part in asked.split(",")]
    if asked is None:
        beside = [name for name in split.table.column_names if name not in (*texts, "idx")]
        flat = [name for name in beside if not pa.types.is_nested(split.table.schema.field(name).type)]
        parts = [name for name in flat if 2 * len(split.table.column(name).unique()) <= len(split)]
    if len(parts) == 1 and asked is None:
        return f" Did you mean --label_column {parts[0]}?"
    if len(parts) > 1 and all(part in split.names for part in parts):
        return f" Several labels a row are one column of lists, as [1, 0, 1]; here may be meant {listed(parts, 5)}."
    return ""


def find_text_columns(split: Columns, asked: tuple[str, ...] | None, label: str | None) -> tuple[str, ...]:
    """The columns asked for, else the one or two that hold texts beside the label, in the data's order.

    Of CSV and TSV, where every cell is a string, a column of numbers alone holds no texts. ``label``: None where there is
    none.

    Raises:
        UserError: when a column asked for is missing, or none or more than two hold texts.
    """
    if asked is not None:
        for name in asked:
            split.require(name, "text_columns")
        columns = asked
    else:
        others = [name for name in split.names if name not in (label, "idx")]
        columns = tuple(name for name in others if _holds_texts(split, name))
        if len(columns) not in (1, 2):
            beside = "" if label is None else f" beside the label {label!r}"
            raise UserError(
                f"{split.where} has {len(columns)} columns of texts{beside}, so --text_columns must"
                f" name one or two. Columns: {listed(split.names)}."
            )
    taken = [name for name in columns if name in _OWN]
    if taken:
        raise UserError(f"{split.where}: a text column may not be called {taken[0]!r}; rename it.")
    return columns


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def _holds_texts(split: Columns, name: str) -> bool:
    if name in split.mixed:  # strings that Arrow refuses are no texts either, which is told when they are read
        others = sum(not isinstance(value, str | None) for value in split.mixed[name])
        return 2 * others < len(split) if split.places else not others  # places: rows without a text will be left out
    column = split.table.column(name)
    if not _is_string(column.type):
        return False
    return not (split.cells and all(cell is None or NUMBER.fullmatch(cell) for cell in column.to_pylist()))


def texts(split: Columns, columns: tuple[str, ...]) -> dict[str, Any]:
    """The text columns as Arrow strings, none missing; an empty text is a text.

    Raises:
        UserError: for a missing column, one that holds no texts, and missing texts, counted, with the first rows.
    """
    made = {}
    for name in columns:
        split.require(name, "text_columns")
        if name in split.mixed:
            split.values(name)
            raise UserError(f"{split.where}: column {name!r} holds more than one kind of value; texts are expected.")
        column = split.table.column(name)
        if not _is_string(column.type):
            raise UserError(f"{split.where}: column {name!r} holds {column.type}, not texts; see --text_columns.")
        if column.null_count:
            missing = [number for number, value in enumerate(column.to_pylist()) if value is None]
            hint = ' (an empty text is written "")' if split.cells else ""
            raise UserError(
                f"{split.where}: {len(missing)} of {len(split)} rows have no text in column {name!r}"
                f" ({row_numbers(missing)}); fill them{hint} or leave these rows out (--on_bad_row skip)."
            )
        made[name] = pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column
    return made
