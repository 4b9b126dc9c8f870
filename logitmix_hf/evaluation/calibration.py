"""Can the confidence be believed? Confidences are counted into bins once, and every measure reads those counts.

The confidence of a row is the largest of its class probabilities, and the row is right when that class is its label.
Everything is computed in float64, whatever the precision of the logits. Several decisions a row (multi-label) are
flattened first: see ``decisions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.decisions import (
    decisions,
    log_softmax,
    probability_decisions,
    require,
    require_finite,
    require_probabilities,
)


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
    require((values >= 0) & (values <= 1), "confidence", values, "in [0, 1]")
    require((right == 0) | (right == 1), "correct", right, "0 or 1")
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


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood of the labels in nats, at least 0; finite for any finite logits.

    logits (N, C) and labels (N,) in [0, C); (N, C) labels of 0/1 are multi-label, averaged over all N * C decisions.
    """
    z, y = decisions(logits, labels)
    return _mean_surprise(log_softmax(z), y)


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Brier's score in [0, 2]: the squared error of the probabilities, summed over classes, averaged over rows.

    This is Brier's own (1950) sum over all classes. For two classes it is twice scikit-learn's default, which halves.
    probabilities (N, C) and labels (N,) in [0, C); (N, C) labels of 0/1 are multi-label: N * C two-class decisions.
    """
    p, y = probability_decisions(probabilities, labels)
    return float(np.mean(np.sum((p - np.eye(p.shape[1])[y]) ** 2, axis=1)))


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

    With logits the likelihood is taken from them, which is exact where a probability rounds to 0; without, a label
    that was given the probability 0 makes it infinite.
    """
    counted = bin_decisions(probabilities, labels, bins, logits)
    with np.errstate(divide="ignore"):
        log_p = np.log(probabilities) if logits is None else log_softmax(logits)
    return {
        "ece": ece(counted),
        "oe": oe(counted),
        "confidence_gap": confidence_gap(counted),
        "nll": _mean_surprise(log_p, labels),
        "brier": brier(probabilities, labels),
    }


def _mean_surprise(log_p: np.ndarray, labels: np.ndarray) -> float:
    # 0.0 - x rather than -x: a perfect score is 0, not -0
    return float(np.mean(0.0 - log_p[np.arange(len(log_p)), labels]))


def _rows(name: str, values: ArrayLike, ndim: int) -> np.ndarray:
    array = require_finite(name, np.asarray(values, dtype=np.float64))
    if array.ndim != ndim:
        raise UserError(f"{name} must have {ndim} axis, got the shape {array.shape}.")
    return array
