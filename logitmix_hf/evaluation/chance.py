"""How large is the ECE of a model that has no calibration error at all? Above 0, because its rows are finitely many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import check_number
from logitmix_hf.evaluation.binning import Bins, bin_edges, bin_index, confidences_and_outcomes
from logitmix_hf.evaluation.calibration import ece

BLOCK = 1 << 19
"""Random numbers held at once: 4 MB."""


@dataclass(frozen=True, eq=False)
class Chance:
    """The ECE that a perfectly calibrated model with these confidences shows, by chance alone.

    draws: (R,) float64 in [0, 1], the ECE of each set of outcomes that was drawn.
    """

    draws: np.ndarray

    @property
    def mean(self) -> float:
        """The mean ECE by chance; a model whose ECE is near it may be perfectly calibrated."""
        return float(self.draws.mean())

    def point(self, level: float = 0.95) -> float:
        """The ECE that chance exceeds in a share 1 - level of cases: a larger one is a calibration error (a test of
        calibration at that level: Bröcker and Smith, 2007, Weather and Forecasting 22, 651-661)."""
        return float(np.quantile(self.draws, level))


def ece_by_chance(
    confidence: ArrayLike, bins: int = 15, draws: int = 1000, seed: int = 0, scheme: str = "width"
) -> Chance:
    """Draw whether each decision is right from its own confidence, ``draws`` times, and take the ECE of each.

    Args:
        confidence: (N,) in [0, 1], N >= 1: of the predicted class. Labels drawn from the model's probabilities are
            that class with just this probability, so nothing else of the model matters.
        bins: number of bins.
        draws: how often, at least 1.
        seed: the same confidences, draws and seed give the same numbers.
        scheme: as in ``bin_confidences``.

    Raises:
        UserError: for no rows, or a value outside its range.
    """
    check_number("draws", draws, low=1)
    values, _ = confidences_and_outcomes(confidence, np.zeros(np.shape(confidence)))
    edges = bin_edges(values, bins, scheme)
    values = np.sort(values)  # the bins then follow each other: their sums are slices, and the rows' order is nothing
    index = bin_index(values, edges)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    starts = (np.cumsum(count) - count)[full]
    of_confidence = np.bincount(index, weights=values, minlength=bins)
    rng = np.random.default_rng(seed)
    most = max(1, BLOCK // len(values))
    found = []
    for begin in range(0, draws, most):
        right = rng.random((min(most, draws - begin), len(values))) < values
        correct = np.zeros((len(right), bins))
        correct[:, full] = np.add.reduceat(right, starts, axis=1, dtype=np.int64)
        found.append(ece(Bins.of_sums(edges, np.broadcast_to(count, correct.shape), of_confidence, correct)))
    return Chance(np.concatenate(found))
