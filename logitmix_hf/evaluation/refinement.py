"""How good predictions are once their temperature is right: what no calibrator of one number can still gain is taken out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from logitmix_hf.evaluation.calibration import nll
from logitmix_hf.evaluation.predictions import REGRESSION, Predictions
from logitmix_hf.evaluation.temperature import fit_halves

NLL_REFINED = "nll_refined"


def refinement(p: Predictions) -> dict[str, float]:
    """``{"nll_refined": value}``: mean negative log-likelihood in nats, each half of the rows divided by the temperature
    that the other half asks for (:func:`fit_halves`).

    It is the same for a model and for the same model at any other temperature (but where all rows of a half are right, which
    keeps T at 1), so that a checkpoint chosen by it (lower is
    better) is chosen for what a temperature fitted afterwards cannot mend (Berta, Holzmüller, Jordan and Bach, Rethinking
    Early Stopping: Refine, Then Calibrate, 2025, arXiv:2501.19195). Empty for a regression, without labels, and for fewer
    than two rows.
    """
    if p.problem == REGRESSION or p.labels is None or len(p) < 2:
        return {}
    return {NLL_REFINED: nll(_refined_logits(p), np.asarray(p.labels))}


def refined(p: Predictions) -> Predictions:
    """Labelled classifications, the logits of each half of the rows divided by the temperature of the other half."""
    return replace(p, logits=_refined_logits(p))


def _refined_logits(p: Predictions) -> np.ndarray:
    logits = np.asarray(p.logits, dtype=np.float64)
    return fit_halves(logits, np.asarray(p.labels)).apply(logits)
