"""Every class judged on its own: the bins of its probability, class-wise ECE, and what Brier's score is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.evaluation.binning import Bins, bin_index, equal_width
from logitmix_hf.evaluation.calibration import ece
from logitmix_hf.evaluation.decisions import probability_decisions, require_probabilities


@dataclass(frozen=True)
class BrierParts:
    """Brier's score taken apart by the bins of each class: ``score = reliability - resolution + uncertainty - within``.

    reliability: at least 0, lower is better: squared gap between probability and frequency, over the bins.
    resolution:  at least 0, higher is better: squared distance of the frequencies in the bins from that of all rows.
    uncertainty: at least 0: the variance of the labels. It belongs to the data; no model changes it.
    within:      what bins hide: twice the covariance of probability and outcome inside the bins, minus the variance of
                 the probability there. It is 0 where all probabilities of a bin are equal; then Murphy's (1973)
                 identity of the first three is exact. Otherwise these terms of Stephenson, Coelho and Jolliffe (2008,
                 Weather and Forecasting 23, 752-757) make it so.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float

    @property
    def generalised_resolution(self) -> float:
        """resolution + within, as Stephenson et al. propose: Brier's score is reliability - this + uncertainty."""
        return self.resolution + self.within

    @property
    def score(self) -> float:
        """Brier's score of the same probabilities, in [0, 2]."""
        return self.reliability - self.generalised_resolution + self.uncertainty


def class_bins(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> Bins:
    """The probabilities of each class in bins of equal width, as Bins of (C, M).

    ``confidence`` is there the mean probability that the rows of a bin give to the class, ``accuracy`` the share of
    them that belong to it.

    Args:
        probabilities: (N, C), N >= 1; with multi-label labels the probability of each label on its own.
        labels: (N,) int in [0, C); or (N, C) of 0/1 for multi-label.
        bins: number of bins M.

    Raises:
        UserError: for values or shapes that do not fit (naming the row).
    """
    p, outcomes = class_outcomes(probabilities, labels)
    edges = equal_width(bins)
    sums = np.zeros((3, p.shape[1], bins))
    for k in range(p.shape[1]):  # one class at a time: memory stays that of the probabilities
        index = bin_index(p[:, k], edges)
        for row, weights in zip(sums, (None, p[:, k], outcomes[:, k]), strict=True):
            row[k] = np.bincount(index, weights=weights, minlength=bins)
    return Bins.of_sums(edges, *sums)


def ece_classwise(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """The ECE of the probability of each class, averaged over the classes; in [0, 1]. Arguments as class_bins.

    Kull et al. (2019, arXiv:1910.12656). With many classes most probabilities are near 0 and fit well there, so it
    shrinks with 1/C: compare it only between models of the same classes.
    """
    return float(np.mean(ece(class_bins(probabilities, labels, bins))))


def brier_parts(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> BrierParts:
    """What Brier's score (``brier`` of the same arguments) is made of. Arguments as class_bins.

    Each class is taken apart by the bins of its own probability, and the parts are added up. Multi-label: each label
    is two classes, yes and no, with parts that are equal; the parts of the labels are averaged.
    """
    p, outcomes = class_outcomes(probabilities, labels)
    counted = class_bins(p, labels, bins)
    rate = outcomes.mean(axis=0)
    reliability = np.sum(counted.share * counted.gap**2, axis=1)
    resolution = np.sum(counted.share * np.where(counted.count > 0, counted.accuracy - rate[:, None], 0.0) ** 2, axis=1)
    within = np.empty(p.shape[1])
    for k in range(p.shape[1]):
        index = bin_index(p[:, k], counted.edges)
        forecast, outcome = p[:, k] - counted.confidence[k, index], outcomes[:, k] - counted.accuracy[k, index]
        within[k] = np.mean(2 * forecast * outcome - forecast**2)
    total = over_classes(np.stack([reliability, resolution, rate * (1 - rate), within]), np.ndim(labels) == 2)
    return BrierParts(*total.tolist())


def over_classes(parts: np.ndarray, multi_label: bool) -> np.ndarray:
    """Parts of each class (..., C) to those of Brier's score (...): the sum, or for labels the mean of yes and no."""
    return 2 * parts.mean(axis=-1) if multi_label else parts.sum(axis=-1)


def class_outcomes(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) float64 probabilities, and (N, C) bool: whether the row belongs to the class. Raises as class_bins."""
    _, y = probability_decisions(probabilities, labels)  # checks both
    if np.ndim(labels) == 2:
        return np.asarray(probabilities, dtype=np.float64), y.reshape(np.shape(labels)) == 1
    p = require_probabilities("probabilities", probabilities)
    return p, y[:, None] == np.arange(p.shape[1])
