"""Predictions of a GLUE test split in the files that gluebenchmark.com takes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from logitmix_hf.errors import UserError, listed, pick
from logitmix_hf.text.tasks import TASKS, Task

logger = logging.getLogger(__name__)


def write_submission(
    task: Task | str,
    split_key: str,
    predictions: Sequence[float] | np.ndarray,
    label_names: Sequence[str],
    folder: str | os.PathLike[str],
    rows: int | None = None,
) -> Path:
    """Write ``index<TAB>prediction`` for every row of a test split; return the file.

    Args:
        task: a task or its name.
        split_key: a key of ``task.test``: "test", for MNLI "test_matched" or "test_mismatched".
        predictions: (N,), in the order of the split: class numbers of ``label_names``, or values for a regression.
        label_names: the model's classes, in its own order; it may differ from the task's. Ignored for a regression.
        folder: where the file (``RTE.tsv``, ``MNLI-m.tsv`` …) goes; made if missing. Replaced in one step.
        rows: how many rows the split has, when the caller knows.

    RTE, QNLI and MNLI get label names, STS-B values clipped to [0, 5] with 3 decimals, the others the official label
    number. A count other than the official one is logged: the leaderboard would refuse the file.

    Raises:
        UserError: for an unknown task or split, a count other than ``rows``, a prediction that is no class or no
            finite number, or label names that are not the task's.
    """
    task = pick(TASKS, task, "task") if isinstance(task, str) else task
    name = pick(task.submission, split_key, f"test split of {task.name}")
    values = np.asarray(predictions)
    if values.ndim != 1 or len(values) == 0:
        raise UserError(f"predictions must have the shape (rows,) with at least one row, got {values.shape}.")
    if rows is not None and len(values) != rows:
        raise UserError(f"{name}: the split {split_key!r} has {rows} rows, but {len(values)} predictions were given.")
    official = task.test_rows[split_key]
    if len(values) != official:
        logger.warning(
            "%s has %d rows; the leaderboard's test split has %d and takes no other.", name, len(values), official
        )
    cells = _values(name, values) if task.regression else _classes(task, values, label_names)
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{name}.partial")
    partial.write_text(
        "".join(["index\tprediction\n", *(f"{i}\t{cell}\n" for i, cell in enumerate(cells))]), encoding="utf-8"
    )
    partial.replace(path)
    return path


def _values(name: str, values: np.ndarray) -> list[str]:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UserError(f"{name}: prediction {int(np.argmin(np.isfinite(numbers)))} is not a finite number.")
    return [f"{value:.3f}" for value in np.clip(numbers, 0, 5)]


def _classes(task: Task, values: np.ndarray, label_names: Sequence[str]) -> list[str]:
    if sorted(label_names) != sorted(task.label_names):
        raise UserError(
            f"The labels of {task.name} are {listed(task.label_names, quote=False)}, but the model's are"
            f" {listed(label_names, quote=False)}."
        )
    numbers = values.astype(np.int64)
    outside = (numbers != values) | (numbers < 0) | (numbers >= len(label_names))
    if outside.any():
        row = int(np.argmax(outside))
        raise UserError(
            f"Prediction {row} is {values[row]}, but classes of {task.name} are numbered 0 to {len(label_names) - 1}."
        )
    if task.written == "name":
        return [str(label_names[number]) for number in numbers]
    return [str(task.label_names.index(label_names[number])) for number in numbers]
