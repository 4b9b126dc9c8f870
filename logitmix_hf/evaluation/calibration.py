"""Can the confidence be believed? Confidences are counted into bins once, and every measure reads those counts.

The confidence of a row is the largest of its class probabilities, and the row is right when that class is its label.
Everything is computed in float64, whatever the precision of the logits. Several decisions a row (multi-label) are
flattened first: see ``decisions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError, pick
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
    """Decisions counted into M bins of their confidence, (edges[m], edges[m + 1]].

    Bins are open on the left and closed on the right; a confidence of exactly 0 counts in the first, exactly 1 in the
    last. Leading axes, where there are any, are several countings at once, such as classes or resamples: every measure
    below reduces the last axis, to a float where it is the only one.

    edges:      (M + 1,) or (..., M + 1) float64, from 0 to 1.
    count:      (..., M), how many decisions fell in each bin.
    confidence: (..., M) float64, their mean confidence in [0, 1]; NaN in an empty bin, where there is none.
    accuracy:   (..., M) float64, the share of them that was right; NaN in an empty bin.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of_sums(cls, edges: np.ndarray, count: np.ndarray, confidence: np.ndarray, correct: np.ndarray) -> Bins:
        """From what each bin adds up to: decisions, their confidences, and how many were right; all (..., M)."""
        with np.errstate(invalid="ignore"):
            return cls(edges, count, confidence / count, correct / count)

    @property
    def share(self) -> np.ndarray:
        """(..., M) float64: the share of all decisions in each bin; sums to 1."""
        return self.count / self.count.sum(axis=-1, keepdims=True)

    @property
    def gap(self) -> np.ndarray:
        """(..., M) float64 in [-1, 1]: mean confidence minus accuracy, above 0 where over-confident; 0 in an empty bin."""
        return np.where(self.count > 0, self.confidence - self.accuracy, 0.0)


SCHEMES = {"width": "bins of equal width", "mass": "bins of equal numbers of decisions"}


def equal_width(bins: int) -> np.ndarray:
    """(M + 1,) edges m / M. Raises UserError unless bins is a whole number of at least 1."""
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise UserError(f"bins must be a whole number of at least 1, got {bins!r}.")
    # m / M is rounded once, so that a confidence written as 0.3 is the edge 3/10; linspace would miss it by one bit.
    return np.arange(bins + 1) / bins


def bin_edges(values: np.ndarray, bins: int, scheme: str = "width") -> np.ndarray:
    """(M + 1,) edges from 0 to 1 for values (N,) in [0, 1].

    Of equal mass: edge m is the ceil(m N / M)-th smallest value, so that bins differ by one decision at most, and
    equal values stay together (then bins are uneven, or empty), whatever the order of the rows.
    """
    pick(SCHEMES, scheme, "scheme")
    edges = equal_width(bins)
    if scheme == "mass":
        last = -(-np.arange(1, bins) * len(values) // bins) - 1  # rounded up, in whole numbers
        edges[1:-1] = np.sort(values)[last]
    return edges


def bin_index(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(N,) int: the bin of each value."""
    return np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)


def bin_confidences(confidence: ArrayLike, correct: ArrayLike, bins: int = 15, scheme: str = "width") -> Bins:
    """Count decisions into bins of their confidence.

    Args:
        confidence: (N,) in [0, 1], N >= 1.
        correct: (N,) bool or 0/1, whether each decision was right.
        bins: number of bins M, at least 1. 15 is the habit of Guo et al. (2017, arXiv:1706.04599).
        scheme: "width", bins of equal width, or "mass", of equal numbers of decisions (see :func:`bin_edges`).

    Raises:
        UserError: for no rows, unequal lengths, or a value outside its range (naming the row).
    """
    equal_width(bins)  # a wrong number of bins is said before a wrong row
    values, right = confidences_and_outcomes(confidence, correct)
    edges = bin_edges(values, bins, scheme)
    index = bin_index(values, edges)
    sums = (np.bincount(index, weights=weights, minlength=bins) for weights in (values, right))
    return Bins.of_sums(edges, np.bincount(index, minlength=bins), *sums)


def confidences_and_outcomes(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as (N,) float64, N >= 1: in [0, 1], and 0 or 1. Raises UserError as :func:`bin_confidences`."""
    values = _rows("confidence", confidence, ndim=1)
    right = _rows("correct", correct, ndim=1)
    if len(right) != len(values):
        raise UserError(f"confidence has {len(values)} rows but correct has {len(right)}; give one of each a decision.")
    require((values >= 0) & (values <= 1), "confidence", values, "in [0, 1]")
    require((right == 0) | (right == 1), "correct", right, "0 or 1")
    return values, right


def ece(bins: Bins) -> float:
    """Expected calibration error in [0, 1]: the gap of each bin, weighted by its share (Naeini et al., 2015)."""
    return _plain(np.sum(bins.share * np.abs(bins.gap), axis=-1))


def oe(bins: Bins) -> float:
    """Over-confidence error in [0, ECE]: only gaps where confidence exceeds accuracy, weighted by share and confidence.

    The factor of the bin's confidence is part of the definition (Thulasidasan et al., 2019, arXiv:1905.11001); some
    public versions drop it.
    """
    return _plain(np.sum(bins.share * np.nan_to_num(bins.confidence) * np.maximum(bins.gap, 0.0), axis=-1))


def mce(bins: Bins) -> float:
    """Maximum calibration error in [0, 1]: the largest gap of any bin that holds a decision."""
    return _plain(np.max(np.abs(bins.gap), axis=-1))


def confidence_gap(bins: Bins) -> float:
    """Mean confidence minus accuracy, in [-1, 1]: above 0 over-confident, below 0 under-confident.

    The number of bins does not matter, and |confidence_gap| <= ECE.
    """
    return _plain(np.sum(bins.share * bins.gap, axis=-1))


def rmsce_debiased(bins: Bins) -> float:
    """Root mean square calibration error without the upward bias of few rows, in [0, 1]; use bins of equal mass.

    Kumar, Liang and Ma (2019, arXiv:1909.10155, section 5): from the squared gap of a bin of n decisions with accuracy
    a is taken a (1 - a) / (n - 1), which is what noise adds to it on average; the sum over bins, weighted by share, is
    cut at 0 before the root. The square is chosen because its bias is known exactly: of a sum of absolute gaps (ECE) it
    is not, and ``chance_ece`` says how large it is. Being a root mean square, it is no less than the true ECE of the
    same bins. A bin of one decision does not tell its noise, so it is left out; NaN where no bin holds two.
    """
    several = bins.count > 1
    noise = bins.accuracy * (1 - bins.accuracy) / np.where(several, bins.count - 1, 1)
    total = np.where(several, bins.count, 0).sum(axis=-1)
    excess = np.where(several, bins.count * (bins.gap**2 - noise), 0.0).sum(axis=-1)
    return _plain(np.sqrt(np.maximum(excess, 0.0) / np.where(total > 0, total, np.nan)))


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


def _plain(value: np.ndarray) -> float:
    # an array of several countings passes as it is; the signatures tell of the common case
    return float(value) if np.ndim(value) == 0 else value  # type: ignore[return-value]


def _rows(name: str, values: ArrayLike, ndim: int) -> np.ndarray:
    array = require_finite(name, np.asarray(values, dtype=np.float64))
    if array.ndim != ndim:
        raise UserError(f"{name} must have {ndim} axis, got the shape {array.shape}.")
    return array
