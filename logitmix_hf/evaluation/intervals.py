"""How sure the numbers themselves are: bootstrap intervals of every score, and of the difference between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logitmix_hf.evaluation.binning import Bins
from logitmix_hf.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Interval:
    """A score and where it lies at the level of confidence that was asked for; low <= value <= high.

    value: the score, as :func:`logitmix_hf.evaluation.review` gives it.
    low, high: NaN where the score is.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """A score of one run minus the same score of another, on the same rows.

    p: two-sided p-value of "there is no difference", in [2 / (resamples + 1), 1].
    """

    p: float


def bootstrap(
    p: Predictions,
    metrics: Sequence[str] = (),
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """An interval of each number of ``review(p, metrics, bins)``, in its order."""
    raise NotImplementedError


def compare(
    a: Predictions,
    b: Predictions,
    metrics: Sequence[str] = (),
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Each number of run a minus that of run b, both judged on the same rows: is the gain real?

    Raises:
        UserError: when idx, labels, problem or classes of the two differ.
    """
    raise NotImplementedError


def bin_intervals(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each (..., M): Wilson's interval of the accuracy of each bin; NaN in an empty bin."""
    raise NotImplementedError
