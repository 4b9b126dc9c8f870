"""Can the confidence be believed? Confidences are counted into bins once, and every measure reads those counts.

The confidence of a row is the largest of its class probabilities, and the row is right when that class is its label.
Everything is computed in float64, whatever the precision of the logits. Several decisions a row (multi-label) are
flattened first: see :func:`decisions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError


@dataclass(frozen=True, eq=False)
class Bins:
    """M equal-width bins of confidence, (edges[m], edges[m + 1]].

    Bins are open on the left and closed on the right; a confidence of exactly 0 counts in the first, exactly 1 in the
    last.

    edges:      (M + 1,) float64, m / M.
    count:      (M,) int64, how many decisions fell in each bin.
    confidence: (M,) float64, their mean confidence in [0, 1]; NaN in an empty bin, where there is none.
    accuracy:   (M,) float64, the share of them that was right; NaN in an empty bin.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """(M,) float64: the share of all decisions in each bin; sums to 1."""
        return self.count / self.count.sum()

    @property
    def gap(self) -> np.ndarray:
        """(M,) float64 in [-1, 1]: mean confidence minus accuracy, above 0 where over-confident; 0 in an empty bin."""
        return np.where(self.count > 0, self.confidence - self.accuracy, 0.0)


def bin_confidences(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> Bins:
    """Count decisions into equal-width bins of their confidence.

    Args:
        confidence: (N,) in [0, 1], N >= 1.
        correct: (N,) bool or 0/1, whether each decision was right.
        bins: number of bins M, at least 1. 15 is the habit of Guo et al. (2017, arXiv:1706.04599).

    Raises:
        UserError: for no rows, unequal lengths, or a value outside its range (naming the row).
    """
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise UserError(f"bins must be a whole number of at least 1, got {bins!r}.")
    values = _rows("confidence", confidence, ndim=1)
    right = _rows("correct", correct, ndim=1)
    if len(right) != len(values):
        raise UserError(f"confidence has {len(values)} rows but correct has {len(right)}; give one of each a decision.")
    _require((values >= 0) & (values <= 1), "confidence", values, "in [0, 1]")
    _require((right == 0) | (right == 1), "correct", right, "0 or 1")
    # m / M is rounded once, so that a confidence written as 0.3 is the edge 3/10; linspace would miss it by one bit.
    edges = np.arange(bins + 1) / bins
    index = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Bins(
            edges=edges,
            count=count,
            confidence=np.bincount(index, weights=values, minlength=bins) / count,
            accuracy=np.bincount(index, weights=right, minlength=bins) / count,
        )


def ece(bins: Bins) -> float:
    """Expected calibration error in [0, 1]: the gap of each bin, weighted by its share (Naeini et al., 2015)."""
    return float(np.sum(bins.share * np.abs(bins.gap)))


def oe(bins: Bins) -> float:
    """Over-confidence error in [0, ECE]: only gaps where confidence exceeds accuracy, weighted by share and confidence.

    The factor of the bin's confidence is part of the definition (Thulasidasan et al., 2019, arXiv:1905.11001); some
    public versions drop it.
    """
    return float(np.sum(bins.share * np.nan_to_num(bins.confidence) * np.maximum(bins.gap, 0.0)))


def mce(bins: Bins) -> float:
    """Maximum calibration error in [0, 1]: the largest gap of any bin that holds a decision."""
    return float(np.max(np.abs(bins.gap)))


def confidence_gap(bins: Bins) -> float:
    """Mean confidence minus accuracy, in [-1, 1]: above 0 over-confident, below 0 under-confident.

    The number of bins does not matter, and |confidence_gap| <= ECE.
    """
    return float(np.sum(bins.share * bins.gap))


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
        _require(((p >= 0) & (p <= 1)).reshape(len(p), -1).all(axis=1), "probabilities", p, "in [0, 1]")
    return _one_a_row(p, labels, lambda values: require_probabilities("probabilities", values))


def nll(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood in nats, at least 0: log_probabilities (N, C), labels (N,) in [0, C).

    Infinite when a label was given the probability 0, which logits cannot do.
    """
    log_p = np.asarray(log_probabilities, dtype=np.float64)
    # 0.0 - x rather than -x: a perfect score is 0, not -0.
    return float(np.mean(0.0 - log_p[np.arange(len(log_p)), class_numbers(labels, log_p.shape[1])]))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Brier's score in [0, 2]: the squared error of the probabilities, summed over classes, averaged over rows.

    This is Brier's own (1950) sum over all classes. For two classes it is twice scikit-learn's default, which halves.
    probabilities (N, C), labels (N,) in [0, C).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    target = np.eye(p.shape[1])[class_numbers(labels, p.shape[1])]
    return float(np.mean(np.sum((p - target) ** 2, axis=1)))


def true_calibration_error(probabilities: ArrayLike, posterior: ArrayLike) -> float:
    """Mean |confidence of the predicted class - true posterior of that class|, in [0, 1].

    Only known where the data generator knows p(y|x). No bins and no sampled labels are involved, so unlike ECE it
    has neither the bias of few rows nor errors that cancel inside a bin. Both arguments (N, C), rows sum to 1.
    """
    p, q = require_probabilities("probabilities", probabilities), require_probabilities("posterior", posterior)
    if p.shape != q.shape:
        raise UserError(f"probabilities have the shape {p.shape} but the posterior {q.shape}; they must be equal.")
    rows, predicted = np.arange(len(p)), p.argmax(axis=1)
    return float(np.mean(np.abs(p[rows, predicted] - q[rows, predicted])))


def bayes_accuracy(posterior: ArrayLike) -> float:
    """The expected accuracy of the best possible classifier on these rows: mean of max_c p(c|x). posterior (N, C)."""
    return float(np.mean(require_probabilities("posterior", posterior).max(axis=1)))


def bin_decisions(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15, logits: ArrayLike | None = None
) -> Bins:
    """The bins of probabilities (N, C) against labels (N,).

    Args:
        probabilities: (N, C) float64.
        labels: (N,) int in [0, C).
        bins: number of bins.
        logits: (N, C) where they are known: they name the predicted class, because rounding can make two
            probabilities equal that came from different logits.
    """
    predicted = np.argmax(probabilities if logits is None else logits, axis=1)
    return bin_confidences(probabilities.max(axis=1), predicted == labels, bins)


def calibration_scores(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15, logits: ArrayLike | None = None
) -> dict[str, float]:
    """ece, oe, confidence_gap, nll and brier, in this order, as plain floats. Arguments as :func:`bin_decisions`.

    With logits the likelihood is taken from them, which is exact where a probability rounds to 0.
    """
    counted = bin_decisions(probabilities, labels, bins, logits)
    with np.errstate(divide="ignore"):
        log_p = np.log(probabilities) if logits is None else log_softmax(logits)
    return {
        "ece": ece(counted),
        "oe": oe(counted),
        "confidence_gap": confidence_gap(counted),
        "nll": nll(log_p, labels),
        "brier": brier(probabilities, labels),
    }


def class_numbers(labels: ArrayLike, classes: int, per_row: int = 1) -> np.ndarray:
    """Labels as (N,) int64, each in [0, classes).

    Raises:
        UserError: naming the row of the first label that is no class; per_row labels belong to one row.
    """
    y = np.asarray(labels)
    if y.dtype.kind not in "iubf":
        raise UserError(f"Labels must be class numbers, got {y.dtype} (such as {y.reshape(-1)[:1].tolist()}).")
    whole = np.where(np.isfinite(y), y, -1).astype(np.int64)
    bad = np.flatnonzero((whole != y) | (whole < 0) | (whole >= classes))
    if len(bad):
        known = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        raise UserError(f"The label of row {bad[0] // per_row} is {y[bad[0]]}; known classes: {known}.")
    return whole


def require_finite(name: str, values: np.ndarray) -> np.ndarray:
    """The array itself, if it has rows and no NaN or infinity.

    Raises:
        UserError: naming the first bad row.
    """
    if values.ndim == 0 or len(values) == 0:
        raise UserError(f"{name}: there are no rows, so nothing can be measured; give at least one.")
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    _require(finite, name, values, "finite (a model that gives NaN or infinity has diverged: lower its learning rate)")
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
    _require(fits, name, p, "probabilities in [0, 1] that sum to 1 (are these logits?)")
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


def _rows(name: str, values: ArrayLike, ndim: int) -> np.ndarray:
    array = require_finite(name, np.asarray(values, dtype=np.float64))
    if array.ndim != ndim:
        raise UserError(f"{name} must have {ndim} axis, got the shape {array.shape}.")
    return array


def _require(good: ArrayLike, name: str, values: np.ndarray, expected: str) -> None:
    bad = np.flatnonzero(np.logical_not(good))
    if len(bad):
        shown = np.array2string(values[bad[0]], precision=4, threshold=6, max_line_width=10_000).replace("\n", " ")
        raise UserError(f"{name} of row {bad[0]} must be {expected}, got {shown}.")
