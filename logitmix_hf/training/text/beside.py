"""Texts beside those of the data, in its columns: of ``--shift`` and ``--ood``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from logitmix_hf.data.roles import judged_splits
from logitmix_hf.data.rows import Columns, check_file, read_columns
from logitmix_hf.data.split import keep_rows
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError
from logitmix_hf.text.columns import LABEL_COLUMNS, find_text_columns, proposed, texts
from logitmix_hf.text.data import TextData, TextRequest, check_data
from logitmix_hf.text.fingerprints import dataset_of
from logitmix_hf.text.sources import load_splits
from logitmix_hf.training.shift import of_flag

if TYPE_CHECKING:
    from datasets import Dataset


def shift_request(place: str, request: TextRequest) -> TextRequest:
    """The texts of a place, a file or a data set, in columns as those of ``request``."""
    where: dict[str, Any] = {"validation_file" if expanded(place).is_file() else "dataset_name": place}
    return TextRequest(
        text_columns=request.text_columns,
        label_column=request.label_column,
        regression=request.regression,
        max_eval_samples=request.max_eval_samples,
        training=False,
        **where,
    )


def check_texts(place: str, request: TextRequest) -> None:
    """What can be said of a place before anything is read.

    Raises:
        UserError: as :func:`check_data`; lines without labels are welcome here.
    """
    if expanded(place).is_file():
        check_file(expanded(place), labelled=False)
    else:
        check_data(shift_request(place, request))


def has_labels(place: str, data: TextData, request: TextRequest) -> bool:
    """Whether the texts of a place come with labels: a column of that name that is not empty, or one that may be meant. What
    cannot be read counts as labelled, for somebody else to tell."""
    try:
        splits = _splits(place).values()
    except UserError:
        return True
    for split in splits:
        label = _label(split, request)
        if label is None and proposed(split, None, data.columns):
            return True
        if label is not None and any(str(value).strip() for value in split.values(label) if value is not None):
            return True
    return False


def unlabelled_texts(
    flag: str, place: str, data: TextData, request: TextRequest
) -> tuple[dict[str, Dataset], str | None]:
    """The texts of a place by split, in the columns of the data; and its column of labels, which are left out.

    Args:
        flag: what a mistake begins with.

    Raises:
        UserError: for what cannot be read, and columns of text that are not as many as those of the data.
    """
    with of_flag(flag):
        found = _splits(place)
    made = {}
    for key, split in found.items():
        columns = _columns(flag, split, data, request)
        table = texts(split, columns)
        rows = keep_rows(len(split), request.max_eval_samples, None)
        own: dict[str, Any] = {mine: table[theirs] for mine, theirs in zip(data.columns, columns, strict=True)}
        made[key] = dataset_of(pa.table({**own, "idx": np.arange(len(split))}).take(rows))
    return made, _label(next(iter(found.values())), request)


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
