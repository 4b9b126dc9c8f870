"""A text classifier with scikit-learn's methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from logitmix_hf.commands.glue import SETTINGS
from logitmix_hf.errors import UserError
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

    def _write_rows(self, folder: Path, X: Any, y: np.ndarray, judged: tuple[Any, np.ndarray] | None) -> dict[str, Any]:
        folder.mkdir(parents=True)
        flags: dict[str, Any] = {"label_column": "label", "regression": False if y.ndim == 1 else None}
        for flag, rows in (("train_file", (X, y)), ("validation_file", judged)):
            if rows is None:
                continue
            texts = self._read_inputs(rows[0])
            if len(texts) != len(rows[1]):
                raise UserError(f"eval_set has {len(texts)} rows and {len(rows[1])} labels: each row needs its label.")
            columns = list(zip(*texts, strict=True)) if isinstance(texts[0], tuple) else [tuple(texts)]
            table = dict(zip(_COLUMNS, columns, strict=False)) | {"label": self._cells(rows[1])}
            flags[flag] = folder / f"{flag.partition('_')[0]}.parquet"
            pd.DataFrame(table).to_parquet(flags[flag])
            flags["text_columns"] = ",".join(list(table)[:-1])
        return flags

    def _cells(self, y: np.ndarray) -> list[Any]:
        """Names; of several labels a row the list of those that it has."""
        if y.ndim == 1:
            return list(y)
        names = [str(one) for one in self.classes_]
        return [[names[number] for number in np.flatnonzero(row)] for row in y]

    def _read_inputs(self, X: Any) -> list[Any]:
        if isinstance(X, str):
            raise UserError("X is one text; give a list of texts.")
        if isinstance(X, pd.DataFrame):
            X = X.iloc[:, 0] if X.shape[1] == 1 else X.to_numpy(dtype=object)
        rows = list(X)
        if rows and not isinstance(rows[0], str) and hasattr(rows[0], "__len__"):
            rows = [tuple(row) for row in rows]
            rows = [row[0] for row in rows] if all(len(row) == 1 for row in rows) else rows
        if (row := first_missing(rows)) is not None:
            raise UserError(f"X has no text in row {row}.")
        width = len(rows[0]) if rows and isinstance(rows[0], tuple) else 1
        for number, row in enumerate(rows):
            texts = row if isinstance(row, tuple) else (row,)
            if len(texts) != width or width > 2 or not all(isinstance(one, str) for one in texts):
                what = [type(one).__name__ for one in texts]
                raise UserError(
                    f"X must hold texts, or pairs of texts, each row alike; row {number} holds {', '.join(what)}."
                )
        return rows

    def _length(self, value: Any) -> int:
        return len(value) if isinstance(value, str) else sum(map(len, value))
