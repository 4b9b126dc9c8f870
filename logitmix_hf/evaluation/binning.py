"""Decisions counted into bins of their confidence, or of the probability of a class: what every measure reads.

The confidence of a row is the largest of its class probabilities, and the row is right when that class is its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.decisions import require, require_finite


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


def _rows(name: str, values: ArrayLike, ndim: int) -> np.ndarray:
    array = require_finite(name, np.asarray(values, dtype=np.float64))
    if array.ndim != ndim:
        raise UserError(f"{name} must have {ndim} axis, got the shape {array.shape}.")
    return array
