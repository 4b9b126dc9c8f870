"""A text classifier with scikit-learn's methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from logitmix_hf.commands.glue import SETTINGS
from logitmix_hf.errors import UserError, listed
from logitmix_hf.estimators.base import RunEstimator, first_missing, with_parameters
from logitmix_hf.modality import TEXT

_COLUMNS = ("text", "text_b")


@with_parameters(SETTINGS, TEXT)
class TextClassifier(RunEstimator):
    """Fine-tunes a text model; every flag of ``logitmix glue`` but those about files is a parameter.

    >>> classifier = TextClassifier(model="builtin", method="logitmix", calibration_split=0.1)  # doctest: +SKIP
    >>> classifier.fit(texts, labels).predict_proba(more_texts)  # doctest: +SKIP

    ``X`` is a sequence of N texts (a list, an array, a column of a data frame), or of N pairs: tuples, or a data frame or
    array of two columns. Other data frames of one column are read as that column.

    Parameters:
        model: Hub id, folder or builtin.
        method: how examples are mixed, a name of ``METHODS``.
        output_dir: where the run is kept; default nowhere: the fitted estimator holds all it needs.
        validation_share: given, so much of the rows is held out, stratified, and judged; else ``fit`` trains on all.
        verbose: show the training's log, bars and last table.
    """

    def _write_rows(
        self, folder: Path, X: Any, y: np.ndarray, judged: tuple[Any, np.ndarray] | None, names: Sequence[str]
    ) -> dict[str, Any]:
        folder.mkdir(parents=True)
        flags: dict[str, Any] = {"label_column": "label", "regression": False if y.ndim == 1 else None}
        for flag, rows in (("train_file", (X, y)), ("validation_file", judged)):
            if rows is None:
                continue
            texts = _read_texts(rows[0], len(flags.get("text_columns", "").split(",")) if flag != "train_file" else 0)
            columns = list(zip(*texts, strict=True)) if isinstance(texts[0], tuple) else [tuple(texts)]
            table = dict(zip(_COLUMNS, columns, strict=False)) | {"label": _cells(rows[1], names)}
            flags[flag] = folder / f"{flag.partition('_')[0]}.parquet"
            pd.DataFrame(table).to_parquet(flags[flag])
            flags["text_columns"] = ",".join(list(table)[:-1])
        return flags

    def _read_inputs(self, X: Any) -> list[Any]:
        return _read_texts(X, len(self.classifier_.columns))

    def _length(self, value: Any) -> int:
        return len(value) if isinstance(value, str) else sum(map(len, value))


def _cells(y: np.ndarray, names: Sequence[str]) -> list[Any]:
    """Labels as the cells of a column; of several labels a row the list of the names that it has."""
    return list(y) if y.ndim == 1 else [[names[number] for number in np.flatnonzero(row).tolist()] for row in y]


def _read_texts(X: Any, width: int) -> list[Any]:
    """N texts, or pairs of them. ``width``: 1 or 2, how many texts a row has to hold; 0: the first row says so."""
    if isinstance(X, pd.DataFrame):
        X = X.iloc[:, 0] if X.shape[1] == 1 else X.to_numpy(dtype=object)
    rows = [tuple(row) if isinstance(row, list | tuple | np.ndarray) else row for row in X]
    if all(isinstance(row, tuple) and len(row) == 1 for row in rows):
        rows = [row[0] for row in rows]
    if (row := first_missing(rows)) is not None:
        raise UserError(f"X has no text in row {row}.")
    width = width or (len(rows[0]) if rows and isinstance(rows[0], tuple) else 1)
    wanted = {1: "texts", 2: "pairs of texts"}.get(width, "texts, or pairs of texts")
    for number, row in enumerate(rows):
        texts = row if isinstance(row, tuple) else (row,)
        if len(texts) != width or width > 2 or not all(isinstance(one, str) for one in texts):
            what = listed([type(one).__name__ for one in texts], 4, quote=False)
            raise UserError(f"X must hold {wanted}, each row alike; row {number} holds {what}.")
        if not all(map(_is_whole, texts)):
            raise UserError(
                f"X, row {number}: the text has half a surrogate pair, which no file can hold: leave it out."
            )
    return rows


def _is_whole(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False
