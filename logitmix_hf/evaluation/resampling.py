"""Calibration of many resamples at once: how often each row was drawn is its weight, and every score is read from sums.

A resample of N rows is a column of N weights that add up to N. What a measure needs of the rows (sums over bins,
cumulative sums in the order of confidence) is linear in the weights, so that no resample is ever laid out as rows:
scores come out as if they had been computed from the drawn rows, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from logitmix_hf.evaluation.binning import Bins, bin_index, equal_width
from logitmix_hf.evaluation.calibration import confidence_gap, ece, mce, oe, rmsce_debiased
from logitmix_hf.evaluation.classwise import over_classes
from logitmix_hf.evaluation.coverage import answered

Measure = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Weights (N, B) of B resamples to the scores of each, (B,)."""

BLOCK = 1 << 18
"""Weights held at once (2 MB): small enough for the cache, which the speed hangs on."""
ENTRIES = 1 << 22
"""Entries of a sparse matrix at once (50 MB), so that many classes do not take much memory."""


def resampled_rows(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers (N, B) drawn with replacement, a column a resample, in blocks of B columns.

    The same arguments give the same draws, so that runs on the same rows are compared on the same resamples.
    """
    rng = np.random.default_rng(seed)
    most = max(1, BLOCK // rows)
    for begin in range(0, resamples, most):
        yield rng.integers(rows, size=(rows, min(most, resamples - begin)))


def weights_of(drawn: np.ndarray) -> np.ndarray:
    """(N, B) float64: how often each row is in each resample; each column adds up to N. drawn: (N, B) row numbers."""
    rows, columns = drawn.shape
    flat = (drawn * columns + np.arange(columns)).reshape(-1)
    return np.bincount(flat, minlength=rows * columns).reshape(rows, columns).astype(np.float64)


def means(values: dict[str, np.ndarray]) -> Measure:
    """Scores that are means over rows, (N,) each."""
    stacked = np.array(list(values.values())).reshape(len(values), -1)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(values, stacked @ weights / len(weights), strict=True))

    return measure


def sums(groups: np.ndarray, number: int, values: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Weighted sums of values over groups: weights (N, B) to (number, B).

    Args:
        groups: (N, K) int in [0, number), the groups of the K values of each row.
        number: of groups.
        values: (N, K); left out, they are counted.
    """
    from scipy import sparse

    rows, columns = groups.shape
    data = np.ones(groups.size) if values is None else np.asarray(values, dtype=np.float64).reshape(-1)
    where = (groups.reshape(-1), np.repeat(np.arange(rows, dtype=np.int32), columns))
    matrix = sparse.csr_array((data, where), shape=(number, rows))
    return lambda weights: matrix @ weights


def width_bins(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Measure:
    """ece, oe, confidence_gap and mce. confidence, correct: (N, D), the D decisions of each row."""
    edges = equal_width(bins)
    index = bin_index(confidence, edges)
    totals = [sums(index, bins, values) for values in (None, confidence, correct)]

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        counted = Bins.of_sums(edges, *(total(weights).T for total in totals))
        found = {"ece": ece(counted), "oe": oe(counted), "confidence_gap": confidence_gap(counted), "mce": mce(counted)}
        return {name: np.asarray(value) for name, value in found.items()}

    return measure


def in_order(confidence: np.ndarray, correct: np.ndarray, bins: int, share: float) -> Measure:
    """ece_mass, rmsce_debiased, aurc and accuracy_at_80, from cumulative sums in the order of confidence.

    confidence, correct: (N, D), the D decisions of each row. Equal confidences are one group, as copies of a row are.
    """
    rows = np.repeat(np.arange(len(confidence)), confidence.shape[1])
    order = np.argsort(confidence, axis=None, kind="stable")
    rows, values, right = rows[order], confidence.reshape(-1)[order], correct.reshape(-1)[order].astype(np.float64)
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    total = len(values)
    targets = -(-np.arange(1, bins) * total // bins)  # of equal mass: edge m is the ceil(m N / M)-th smallest value
    asked = answered(total, share)
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, total + 1)))
    edges = equal_width(bins)  # a place holder: the measures read no edges

    def grouped(each: np.ndarray) -> np.ndarray:
        return each if len(first) == total else np.add.reduceat(each, first, axis=0)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = weights[rows]
        columns = np.arange(drawn.shape[1])
        right_drawn = grouped(drawn * right[:, None])
        count, good = cumulated(grouped(drawn)), cumulated(right_drawn)
        number = count.astype(np.int64)
        ends = np.array([np.searchsorted(column, targets, side="left") for column in number.T[:, 1:]]).T + 1
        ends = np.concatenate([np.zeros_like(ends, shape=(1, len(columns))), ends.reshape(bins - 1, -1)])
        ends = np.append(ends, np.full((1, len(columns)), len(count) - 1), axis=0)
        sure = cumulated(grouped(drawn * values[:, None]))
        mass = Bins.of_sums(edges, *(np.diff(each[ends, columns], axis=0).T for each in (count, sure, good)))

        # Surest first, group g begins after total - count[g + 1] decisions, of which all_good - good[g + 1] are right.
        before, size = total - number[1:], np.diff(number, axis=0)
        found_before = good[-1] - good[1:]
        pace = right_drawn / np.maximum(size, 1)
        span = np.diff(harmonic[total - number[::-1]], axis=0)[::-1]
        # sum over j = 1 … size of (found_before + pace j) / (before + j)
        area = (size * pace + (found_before - pace * before) * span).sum(axis=0) / total
        last = np.array([np.searchsorted(column, total - asked, side="right") for column in number.T]) - 1
        right_of_asked = found_before[last, columns] + pace[last, columns] * (asked - before[last, columns])
        return {
            "ece_mass": np.asarray(ece(mass)),
            "rmsce_debiased": np.asarray(rmsce_debiased(mass)),
            "aurc": 1.0 - area,
            "accuracy_at_80": right_of_asked / asked,
        }

    return measure


def cumulated(each: np.ndarray) -> np.ndarray:
    """(G, B) to (G + 1, B): sums of the first 0, 1, … G."""
    out = np.zeros((len(each) + 1, each.shape[1]))
    np.cumsum(each, axis=0, out=out[1:])
    return out


def of_classes(probabilities: np.ndarray, outcomes: np.ndarray, bins: int, multi_label: bool) -> Measure:
    """ece_classwise and the three parts of Brier's score, of which brier_resolution is the generalised one.

    probabilities: (N, C); outcomes: (N, C) bool, whether a row belongs to the class.
    """
    rows, classes = probabilities.shape
    edges = equal_width(bins)
    most = max(1, ENTRIES // rows)
    error = np.sum((probabilities - outcomes) ** 2, axis=1) * (2 / classes if multi_label else 1)
    parts = []
    for begin in range(0, classes, most):
        some = slice(begin, min(begin + most, classes))
        width = some.stop - some.start
        index = bin_index(probabilities[:, some], edges) + bins * np.arange(width)
        gaps = sums(index, width * bins, probabilities[:, some] - outcomes[:, some])
        parts.append((some, sums(index, width * bins), gaps))
    rate_of = outcomes.astype(np.float64).T

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        columns = weights.shape[1]
        error_of_class, reliability = np.empty((2, columns, classes))
        for some, count_of, gap_of in parts:
            count = np.maximum(count_of(weights), 1.0)
            gap = gap_of(weights)
            shape = (some.stop - some.start, bins, columns)
            error_of_class[:, some] = np.abs(gap).reshape(shape).sum(axis=1).T / rows
            reliability[:, some] = (gap * gap / count).reshape(shape).sum(axis=1).T / rows
        rate = (rate_of @ weights).T / rows
        reliable, uncertain = (over_classes(each, multi_label) for each in (reliability, rate * (1 - rate)))
        return {
            "ece_classwise": error_of_class.mean(axis=1),
            "brier_reliability": reliable,
            "brier_resolution": reliable + uncertain - error @ weights / rows,
            "brier_uncertainty": uncertain,
        }

    return measure
