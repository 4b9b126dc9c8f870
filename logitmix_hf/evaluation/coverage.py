"""What is left when the model may abstain: accuracy among the decisions that it is surest of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import check_number
from logitmix_hf.evaluation.binning import confidences_and_outcomes
from logitmix_hf.evaluation.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Coverage:
    """Accuracy of the n surest decisions, for n = 1 … N.

    coverage: (N,) float64, n / N.
    accuracy: (N,) float64 in [0, 1]. Among decisions of equal confidence no order is better than another: it is the
        mean over all of their orders, so that the order of the rows cannot matter.
    """

    coverage: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, confidence: ArrayLike, correct: ArrayLike) -> Coverage:
        """From confidences (N,) in [0, 1] and whether each decision was right (N,). Raises as bin_confidences does."""
        values, right = confidences_and_outcomes(confidence, correct)
        order = np.argsort(-values, kind="stable")
        values, right = values[order], right[order]
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # where each run of equals ends
        size = np.diff(last, prepend=-1)
        # Drawn in any order, a run of equals gives its right ones at an even pace.
        found = np.diff(np.cumsum(right)[last], prepend=0.0)
        n = np.arange(1, len(values) + 1)
        return cls(n / len(n), np.minimum(np.cumsum(np.repeat(found / size, size)) / n, 1.0))


def aurc(curve: Coverage) -> float:
    """Area under the risk-coverage curve in [0, 1], lower is better: mean over n of the error rate of the n surest.

    Geifman, Uziel and El-Yaniv (2019, arXiv:1805.08206). It is low for a model that is accurate, and lower when its
    mistakes are where it is least sure; what a monotone change of the confidence, such as a temperature of a two-class
    model, cannot alter.
    """
    return float(np.mean(1.0 - curve.accuracy))


def accuracy_at(curve: Coverage, share: float = 0.8) -> float:
    """Accuracy when only the surest ``share`` of the decisions is answered, rounded up to whole decisions.

    Raises:
        UserError: unless share is in (0, 1].
    """
    check_number("coverage", share, low=0, high=1, open_low=True)
    return float(curve.accuracy[answered(len(curve.accuracy), share) - 1])


def answered(number: int, share: float) -> int:
    """How many of ``number`` decisions are the surest ``share``, rounded up, at least 1."""
    # 0.7 * 10 is 7.000000000000001 in floats, and means 7
    return max(1, math.ceil(round(share * number, 6)))


def coverage_curve(p: Predictions) -> Coverage:
    """The curve of a split; multi-label: of its N * C yes-no decisions.

    Raises:
        UserError: for a regression, which has no confidence, or without labels or rows.
    """
    return Coverage.of(*p.confidence())
