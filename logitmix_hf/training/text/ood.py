"""Texts that belong to no class, in the columns of the own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from logitmix_hf.data.roles import judged_splits
from logitmix_hf.data.rows import Columns, check_file, read_columns
from logitmix_hf.data.split import keep_rows
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError
from logitmix_hf.text.columns import LABEL_COLUMNS, find_text_columns, texts
from logitmix_hf.text.data import TextData, TextRequest, check_data
from logitmix_hf.text.fingerprints import dataset_of
from logitmix_hf.text.sources import load_splits
from logitmix_hf.training.ood import ood_name, with_ood
from logitmix_hf.training.shift import of_flag
from logitmix_hf.training.text.shifted import shift_request


def check_texts(place: str, request: TextRequest) -> None:
    """What can be said of a place before anything is read.

    Raises:
        UserError: as :func:`check_data`; lines without labels are welcome here.
    """
    if expanded(place).is_file():
        check_file(expanded(place), labelled=False)
    else:
        check_data(shift_request(place, request))


def with_ood_texts(data: TextData, places: Mapping[str, str], request: TextRequest) -> tuple[TextData, list[str]]:
    """The data with the texts of each place as splits without labels; and what of them was not looked at.

    Args:
        places: by name; of a data set the validation splits, else test, else all of it.
        request: the one that ``data`` was loaded by.

    Raises:
        UserError: for what cannot be read, and columns of text that are not as many as those of the data.
    """
    notes = []
    for name, place in places.items():
        with of_flag(f"--ood {name}={place}"):
            found = _splits(place)
        made = {}
        for key, split in found.items():
            columns = _columns(f"--ood {name}={place}", split, data, request)
            table = texts(split, columns)
            rows = keep_rows(len(split), request.max_eval_samples, None)
            own: dict[str, Any] = {mine: table[theirs] for mine, theirs in zip(data.columns, columns, strict=True)}
            made[ood_name(name, key, len(found))] = dataset_of(
                pa.table({**own, "idx": np.arange(len(split))}).take(rows)
            )
        label = _label(next(iter(found.values())), request)
        if label is not None:
            notes.append(f"--ood {name}={place}: its column {label!r} is not looked at: its rows are of no class.")
        data = with_ood(data, made)
    return data, notes


def _splits(place: str) -> dict[str, Columns]:
    path = expanded(place)
    if path.is_file():
        return {"": read_columns(path, labelled=False)}
    found = load_splits(place, None)
    return {name: found[name] for name in judged_splits(place, list(found))}


def _columns(flag: str, split: Columns, data: TextData, request: TextRequest) -> tuple[str, ...]:
    """Those that are called as the data's own; else those that hold texts beside labels."""
    if all(name in split.names for name in data.columns):
        return data.columns
    try:
        found = find_text_columns(split, None, _label(split, request))
    except UserError as problem:
        raise UserError(f"{flag}: {problem} Or call them as the data does: {', '.join(data.columns)}.") from None
    if len(found) != len(data.columns):
        raise UserError(
            f"{flag}: it has {len(found)} columns of text ({', '.join(found)}), the data {len(data.columns)}"
            f" ({', '.join(data.columns)}): rename them as the data has them."
        )
    return found


def _label(split: Columns, request: TextRequest) -> str | None:
    """The column that holds labels, by its name."""
    return next((name for name in (request.label_column, *LABEL_COLUMNS) if name in split.names), None)
