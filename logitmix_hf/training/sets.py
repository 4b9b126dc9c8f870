"""The sets of a run: from the rows of its temperature, judged on others, and kept beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.predictions import SINGLE
from logitmix_hf.evaluation.sets import REPORTED, Sets, fit_sets, judge_sets
from logitmix_hf.training.calibration import Calibration


def fit(calibration: Calibration) -> Sets | None:
    """What the model keeps; None where rows have no one class, or are too few for any coverage."""
    found = fit_sets(calibration.fitted, calibration.scaling)
    return found if found is not None and found.quantiles else None


def results(sets: Sets | None, calibration: Calibration, before: Mapping[str, Predictions]) -> dict[str, Any]:
    """The entry ``sets`` of ``eval_results.json``: coverage and size at 90 %, of each split and class. By halves the fitted
    rows are judged by what the other half keeps.

    Args:
        before: predictions as the model gave them, by the prefix of their keys.
    """
    told: dict[str, Any] = {}
    for prefix, p in before.items():
        if sets is None or p.labels is None or p.problem != SINGLE or not len(p):
            continue
        half = calibration.half if p is calibration.fitted else None
        parts = [(np.ones(len(p), dtype=bool), Sets(sets.rows, sets.quantiles))]
        if half is not None:
            both = [(part, fit_sets(p.some(~part))) for part in (half, ~half)]
            parts = [(part, one) for part, one in both if one is not None]
        if any(len(one.quantiles) <= round(100 * REPORTED) - 50 for _, one in parts):  # too few rows for this coverage
            continue
        inside = np.zeros(p.logits.shape, dtype=bool)
        for part, one in parts:
            inside[part] = one.members(p.logits[part], REPORTED)
        told[prefix] = judge_sets(inside, p.labels, p.label_names)
    return {"sets": {"asked": REPORTED, "rows": sets.rows, **told}} if told and sets is not None else {}
