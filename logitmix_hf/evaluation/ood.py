"""How well a classifier's confidence tells rows of no class (out of distribution, OOD) from those of its own data.

Three scores of a row, each larger the less the row belongs, and four measures of each. **OOD is the positive class**: a
detector that raises an alarm has found a row of no class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions

OOD_SCORES: Mapping[str, str] = {
    "max_probability": "maximal probability",
    "entropy": "entropy",
    "energy": "energy",
}
"""The scores by the words of their keys, and how they are called."""

OOD_MEASURES: Mapping[str, str] = {
    "auroc": "AUROC",
    "aupr_out": "AUPR, OOD positive",
    "aupr_in": "AUPR, own data positive",
    "fpr95": "FPR at 95 % TPR",
}
"""The measures by the words of their keys, and how they are called."""


def max_probability(p: Predictions) -> np.ndarray:
    """(N,) float64 in [-1, 0): minus the largest probability (Hendrycks and Gimpel, 2017, arXiv:1610.02136); of several
    labels a row, of the likeliest label."""
    return -p.probabilities.max(axis=1)


def entropy(p: Predictions) -> np.ndarray:
    """(N,) float64 >= 0, nats: of the distribution over classes; of several labels a row, the sum over the yes-no decisions."""
    from scipy.special import entr

    found = entr(p.probabilities)
    if p.problem == MULTI:
        found = found + entr(1 - p.probabilities)
    return found.sum(axis=1)


def energy(p: Predictions) -> np.ndarray:
    """(N,) float64: minus the log of the sum of exponentials of the logits, as they are deployed, that is divided by the
    temperature (Liu et al., 2020, arXiv:2010.03759, whose factor T orders no row otherwise); of several labels a row, minus
    the sum over labels of log(1 + exp(z)) (JointEnergy: Wang et al., 2021, arXiv:2111.14559)."""
    from scipy.special import logsumexp

    z = p.logits.astype(np.float64)
    return -np.logaddexp(0, z).sum(axis=1) if p.problem == MULTI else -logsumexp(z, axis=1)


_SCORES: Mapping[str, Callable[[Predictions], np.ndarray]] = {
    "max_probability": max_probability,
    "entropy": entropy,
    "energy": energy,
}


def ood_measures(own: np.ndarray, ood: np.ndarray) -> dict[str, float]:
    """The measures of one score, by scikit-learn, as in ``OOD_MEASURES``.

    Args:
        own, ood: (N,) and (M,), the score of each row of the own data and of no class: larger means less at home.

    Returns:
        auroc, the chance that a row of no class scores above one of the own data (.5 is chance); aupr_out, average
        precision with OOD as the positive class (chance: M / (N + M)); aupr_in, with the own data as the positive class and
        the score turned round (chance: N / (N + M)); fpr95, the share of the own data that is taken for OOD at the highest
        threshold that finds at least 95 % of the OOD rows.

    Raises:
        UserError: when either has no rows.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    if not len(own) or not len(ood):
        raise UserError(f"Two sides are told apart, of one row at least each; got {len(own)} and {len(ood)}.")
    score, positive = np.concatenate([own, ood]), np.repeat([0, 1], [len(own), len(ood)])
    wrong, found, _ = roc_curve(positive, score, drop_intermediate=False)
    return {
        "auroc": float(roc_auc_score(positive, score)),
        "aupr_out": float(average_precision_score(positive, score)),
        "aupr_in": float(average_precision_score(1 - positive, -score)),
        "fpr95": float(wrong[np.argmax(found >= 0.95)]),
    }


def ood_scores(own: Predictions, ood: Predictions) -> dict[str, float]:
    """Every measure of every score, as ``<score>_<measure>`` (``energy_auroc``).

    Args:
        own: of data that has the classes; labels are not read.
        ood: of data that has none of them, from the same model, its logits divided by the same temperature.

    Raises:
        UserError: for a regression, which has no confidence, other classes on either side, or no rows.
    """
    if REGRESSION in (own.problem, ood.problem):
        raise UserError("A regression has no confidence that could tell rows of no class.")
    if own.logits.shape[1] != ood.logits.shape[1] or own.problem != ood.problem:
        raise UserError(
            f"Both sides must be of one model, got {own.logits.shape[1]} classes ({own.problem}) and"
            f" {ood.logits.shape[1]} ({ood.problem})."
        )
    return {
        f"{name}_{measure}": value
        for name, score in _SCORES.items()
        for measure, value in ood_measures(score(own), score(ood)).items()
    }
