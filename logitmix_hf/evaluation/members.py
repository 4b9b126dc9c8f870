"""What the single members of a prediction are worth, and how differently they err."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from logitmix_hf.evaluation.calibration import nll
from logitmix_hf.evaluation.predictions import REGRESSION, Predictions


def diversity_ratio(errors: np.ndarray) -> float | None:
    """d_re, the ratio-error diversity of members: how many errors one of a pair makes alone, for each that both make.

    ``(N01 + N10) / N11`` of Aksela 2003, as Ramé et al. (ICCV 2021, section 4.2) use it; the mean over pairs. Errors count
    as shared where both are wrong, whatever they answer.

    Args:
        errors: (N, M) bool, true where a member is wrong.

    Returns:
        At least 0; 0 for members that err alike. None where a pair shares no error, or there is one member: the ratio is
        then not defined.
    """
    ratios = []
    for one, two in itertools.combinations(np.asarray(errors, bool).T, 2):
        both = int((one & two).sum())
        if not both:
            return None
        ratios.append(int((one ^ two).sum()) / both)
    return float(np.mean(ratios)) if ratios else None


def members_of(p: Predictions) -> list[Predictions]:
    """What each member said, as predictions of its own; none where they are not known."""
    if p.members is None:
        return []
    return [replace(p, logits=p.members[:, k], posterior=None, members=None) for k in range(p.members.shape[1])]


def member_scores(p: Predictions) -> dict[str, Any]:
    """Scores of the members behind a prediction; empty without members or labels.

    ``member_accuracy`` the mean of their accuracies (of decisions for several labels a row; a regression has none),
    ``member_accuracies`` each, ``member_nll`` the mean of their negative log-likelihoods in nats, before any temperature,
    ``ensemble_gain`` the accuracy of all together less the mean of theirs, ``d_re`` (:func:`diversity_ratio`).
    """
    if p.members is None or p.labels is None or p.problem == REGRESSION or not len(p):
        return {}
    singles = members_of(p)
    wrong = np.stack([_wrong(one) for one in singles], 1)
    accuracies = (1 - wrong.mean(0)).tolist()
    return {
        "member_accuracy": float(np.mean(accuracies)),
        "member_accuracies": accuracies,
        "member_nll": float(np.mean([nll(*one.decisions()) for one in singles])),
        "ensemble_gain": float(1 - _wrong(p).mean() - np.mean(accuracies)),
        "d_re": diversity_ratio(wrong),
    }


def _wrong(p: Predictions) -> np.ndarray:
    """(N,) bool, or (N * C,) of the decisions of several labels."""
    assert p.labels is not None
    return (p.predictions != p.labels).reshape(-1)
