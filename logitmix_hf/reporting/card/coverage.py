"""The table of a card that says from which confidence on how many rows are right."""

from __future__ import annotations

import math

import numpy as np

from logitmix_hf.evaluation.coverage import answered
from logitmix_hf.evaluation.predictions import REGRESSION, Predictions

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.5)


def coverage_rows(predictions: Predictions) -> list[tuple[float, str, float, float]]:
    """For each of ``COVERAGES``: it, the threshold as one would type it, the coverage and the accuracy that this gives.

    The threshold is the highest that covers at least the share asked for, rounded down to the fewest digits that take
    in no further row; rows of equal confidence come together, so the coverage may be more than was asked for. Empty
    for regression and where labels are unknown.
    """
    if predictions.problem == REGRESSION or predictions.labels is None or not len(predictions):
        return []
    confidence, right = predictions.confidence()
    falling = np.sort(confidence)[::-1]
    found = []
    for wanted in COVERAGES:
        least = falling[answered(len(falling), wanted) - 1]
        text = _typed(least, confidence)
        taken = confidence >= (0.0 if wanted == 1 else float(text))
        found.append((wanted, text, float(taken.mean()), float(right[taken].mean())))
    return found


def _typed(least: float, confidence: np.ndarray) -> str:
    """``least`` rounded down to the fewest digits (three at least) that keep the rows below it out."""
    count = int((confidence >= least).sum())
    for digits in range(3, 16):
        text = f"{math.floor(least * 10**digits) / 10**digits:.{digits}f}"
        if float(text) <= least and int((confidence >= float(text)).sum()) == count:
            return text
    return repr(float(least))
