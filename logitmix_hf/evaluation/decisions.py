"""From what a model gives to one row a decision: class probabilities beside one label, in float64, checked.

The binary model with one output and the yes-no labels of a multi-label model become two-class decisions here, so that
every measure of calibration is written once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError


def softmax(logits: ArrayLike) -> np.ndarray:
    """(N, C) logits to (N, C) float64 probabilities; one column, or (N,), is a binary model (see two_columns).

    Raises:
        UserError: for no rows, or a NaN or infinite logit (naming the row).
    """
    z = two_columns(logits)
    # a quotient, not exp(log_softmax): C equal logits give 1 / C to the last bit, which may be an edge of the bins
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(logits: ArrayLike) -> np.ndarray:
    """(N, C) logits to (N, C) float64 log-probabilities, finite for logits of any size. Raises as softmax does."""
    z = two_columns(logits)
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def two_columns(logits: ArrayLike) -> np.ndarray:
    """Logits as (N, C) float64 with C >= 2: a single logit z, (N,) or (N, 1), becomes (0, z).

    softmax(0, z) = (1 - sigmoid(z), sigmoid(z)), so one formula serves the binary model with one output too.
    """
    z = np.asarray(logits, dtype=np.float64)
    z = require_finite("logits", z[:, None] if z.ndim == 1 else z)
    if z.ndim != 2 or z.shape[1] == 0:
        raise UserError(f"logits must have the shape (rows, classes), got {z.shape}.")
    return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z


def decisions(logits: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """One row a decision: logits (M, C) float64 and labels (M,) int64.

    Single-label: labels (N,), the rows stay as they are. Multi-label: labels (N, C) of 0/1; each of the N * C labels
    is a yes-no decision of its own, with the logits (0, z), in the order row 0 label 0, row 0 label 1, …

    Raises:
        UserError: when shapes do not fit or a label is not a class (naming the row).
    """
    return _one_a_row(require_finite("logits", np.asarray(logits, dtype=np.float64)), labels, two_columns)


def probability_decisions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`decisions`, for probabilities: multi-label (N, C) holds the probability of each label on its own."""
    p = require_finite("probabilities", np.asarray(probabilities, dtype=np.float64))
    if np.ndim(labels) == 2:
        require(((p >= 0) & (p <= 1)).reshape(len(p), -1).all(axis=1), "probabilities", p, "in [0, 1]")
    return _one_a_row(p, labels, lambda values: require_probabilities("probabilities", values))


def class_numbers(labels: ArrayLike, classes: int, per_row: int = 1) -> np.ndarray:
    """Labels as (N,) int64, each in [0, classes).

    Raises:
        UserError: naming the row of the first label that is no class; per_row labels belong to one row.
    """
    y = np.asarray(labels)
    if y.dtype.kind not in "iubf":
        raise UserError(f"Labels must be class numbers, got {y.dtype} (such as {y.reshape(-1)[:1].tolist()}).")
    class_numbers = np.where(np.isfinite(y), y, -1).astype(np.int64)
    bad = np.flatnonzero((class_numbers != y) | (class_numbers < 0) | (class_numbers >= classes))
    if len(bad):
        known = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        raise UserError(f"The label of row {bad[0] // per_row} is {y[bad[0]]}; known classes: {known}.")
    return class_numbers


def require_finite(name: str, values: np.ndarray) -> np.ndarray:
    """The array itself, if it has rows and no NaN or infinity.

    Raises:
        UserError: naming the first bad row.
    """
    if values.ndim == 0 or len(values) == 0:
        raise UserError(f"{name}: there are no rows, so nothing can be measured; give at least one.")
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    require(finite, name, values, "finite (a model that gives NaN or infinity has diverged: lower its learning rate)")
    return values


def require_probabilities(name: str, values: ArrayLike) -> np.ndarray:
    """(N, C) float64 in [0, 1] with rows that sum to 1; (N,) or (N, 1) is the probability of class 1 of two.

    Rounding of single precision is forgiven (1e-6 a value, 1e-3 a sum).

    Raises:
        UserError: naming the first row that is no distribution.
    """
    p = np.asarray(values, dtype=np.float64)
    p = require_finite(name, p[:, None] if p.ndim == 1 else p)
    if p.shape[1:] == (1,):
        p = np.concatenate([1 - p, p], axis=1)
    if p.ndim != 2 or p.shape[1] == 0:
        raise UserError(f"{name} must have the shape (rows, classes), got {p.shape}.")
    fits = ((p >= -1e-6) & (p <= 1 + 1e-6)).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= 1e-3)
    require(fits, name, p, "probabilities in [0, 1] that sum to 1 (are these logits?)")
    return np.clip(p, 0.0, 1.0)


def _one_a_row(
    scores: np.ndarray, labels: ArrayLike, to_columns: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(labels)
    if y.ndim == 2:
        if scores.shape != y.shape:
            raise UserError(
                f"predictions have the shape {scores.shape}, multi-label labels {y.shape}; make them equal."
            )
        return to_columns(scores.reshape(-1)), class_numbers(y.reshape(-1), 2, per_row=y.shape[1])
    columns = to_columns(scores)
    if y.shape != (len(columns),):
        raise UserError(f"There are {len(columns)} rows of predictions but labels of the shape {y.shape}.")
    return columns, class_numbers(y, columns.shape[1])


def require(good: ArrayLike, name: str, values: np.ndarray, expected: str) -> None:
    """Raise a UserError that shows the first of the rows which are not good, (N,) bool."""
    bad = np.flatnonzero(np.logical_not(good))
    if len(bad):
        sample = np.array2string(values[bad[0]], precision=4, threshold=6, max_line_width=10_000).replace("\n", " ")
        raise UserError(f"{name} of row {bad[0]} must be {expected}, got {sample}.")
