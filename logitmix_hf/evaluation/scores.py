"""From predictions to the numbers of a report: task scores by scikit-learn and SciPy, then calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.binning import Bins, bin_confidences, bin_decisions
from logitmix_hf.evaluation.calibration import (
    bayes_accuracy,
    calibration_scores,
    ece,
    mce,
    rmsce_debiased,
    true_calibration_error,
)
from logitmix_hf.evaluation.chance import ece_by_chance
from logitmix_hf.evaluation.classwise import brier_parts, ece_classwise
from logitmix_hf.evaluation.coverage import Coverage, accuracy_at, aurc
from logitmix_hf.evaluation.decisions import softmax
from logitmix_hf.evaluation.predictions import MULTI, PROBLEMS, REGRESSION, SINGLE, Predictions

Metric = Callable[[np.ndarray, np.ndarray], float]  # (predictions, labels) -> score


def _of_scikit_learn(name: str) -> Metric:
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        from sklearn import metrics

        return getattr(metrics, name)(labels, predictions)

    return score


def _top5_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import top_k_accuracy_score

    classes = logits.shape[1]
    if classes <= 5:
        return 1.0
    return float(top_k_accuracy_score(labels, logits, k=5, labels=np.arange(classes)))


def _f1(average: str) -> Metric:
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        if average == "binary" and max(predictions.max(), labels.max()) > 1:
            raise UserError("f1 is the score of class 1 of two; with more classes ask for f1_macro or f1_micro.")
        return float(f1_score(labels, predictions, average=average, zero_division=0))  # type: ignore[arg-type]

    return score


def _correlation(name: str) -> Metric:
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        from scipy import stats

        if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
            return math.nan  # no correlation with a constant: undefined, not 0
        return getattr(stats, name)(predictions, labels).statistic

    return score


def _mse(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean((predictions - labels) ** 2))


def _r2(predictions: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    return math.nan if np.ptp(labels) == 0 else r2_score(labels, predictions)  # of a constant nothing can be explained


METRICS: dict[str, dict[str, Metric]] = {
    SINGLE: {
        "accuracy": _of_scikit_learn("accuracy_score"),
        "f1": _f1("binary"),
        "f1_macro": _f1("macro"),
        "f1_micro": _f1("micro"),
        "matthews_correlation": _of_scikit_learn("matthews_corrcoef"),
    },
    MULTI: {
        "f1_micro": _f1("micro"),
        "f1_macro": _f1("macro"),
        "subset_accuracy": _of_scikit_learn("accuracy_score"),  # a row counts when all of its labels are right
    },
    REGRESSION: {
        "pearson": _correlation("pearsonr"),
        "spearmanr": _correlation("spearmanr"),
        "r2": _r2,
        "rmse": lambda predictions, labels: math.sqrt(_mse(predictions, labels)),
        "mae": lambda predictions, labels: float(np.mean(np.abs(predictions - labels))),
        "mse": _mse,
    },
}
"""The task scores of each problem by name: (predictions, labels) -> float, both as in :class:`Predictions`."""

RANKED_METRICS: dict[str, Metric] = {"top5_accuracy": _top5_accuracy}
"""Single-label scores that need the order of the classes: (logits, labels) -> float."""

DEFAULT_METRICS: dict[str, tuple[str, ...]] = {
    SINGLE: ("accuracy",),
    MULTI: ("f1_micro", "f1_macro", "subset_accuracy"),
    REGRESSION: ("pearson", "spearmanr", "r2", "rmse", "mae", "mse"),
}
"""What is scored when no metric is named; the first is the headline."""

GLUE_METRICS: Mapping[str, tuple[str, ...]] = {
    "cola": ("matthews_correlation",),
    "sst2": ("accuracy",),
    "mrpc": ("accuracy", "f1"),
    "qqp": ("accuracy", "f1"),
    "stsb": ("pearson", "spearmanr"),
    "mnli": ("accuracy",),
    "mnli_matched": ("accuracy",),
    "mnli_mismatched": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
    "hans": ("accuracy",),
    "ax": ("matthews_correlation",),
}
"""The scores of each GLUE task (Wang et al., 2019, arXiv:1804.07461) under the names that ``evaluate`` gives them."""


def task_scores(problem: str, metrics: Sequence[str], predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The named scores of predicted classes, 0/1 labels or values against the true ones, as plain floats.

    Raises:
        UserError: for an unknown problem or metric, no rows, or unequal shapes.
    """
    pick(PROBLEMS, problem, "problem")
    chosen = {name: pick(METRICS[problem], name, f"{problem} metric") for name in metrics}
    if np.shape(predictions) != np.shape(labels):
        raise UserError(f"predictions have the shape {np.shape(predictions)} but labels {np.shape(labels)}.")
    if not len(labels):
        raise UserError("There are no rows, so nothing can be scored; give at least one.")
    return {name: float(score(predictions, labels)) for name, score in chosen.items()}


def evaluate_predictions(p: Predictions, metrics: Sequence[str] = (), bins: int = 15) -> dict[str, float]:
    """Every number of a report: the named metrics first, then calibration, as plain floats.

    Args:
        p: predictions with labels, N >= 1.
        metrics: names in ``METRICS[p.problem]``, and for one label a row in ``RANKED_METRICS``; none means
            ``DEFAULT_METRICS[p.problem]``.
        bins: number of confidence bins.

    Returns:
        The metrics; for classification then ece, oe, confidence_gap, nll, brier, and where the posterior is known
        true_calibration_error and bayes_accuracy. The calibration of multi-label predictions is taken over all N * C
        yes-no decisions. A correlation with a constant is NaN.

    Raises:
        UserError: without labels or rows, or for an unknown metric.
    """
    if p.labels is None:
        raise UserError("These predictions have no labels (a test split?), so they cannot be scored.")
    names = tuple(metrics) or DEFAULT_METRICS[p.problem]
    ranked = [name for name in names if p.problem == SINGLE and name in RANKED_METRICS]
    found = task_scores(p.problem, [name for name in names if name not in ranked], p.predictions, p.labels)
    found |= {name: float(RANKED_METRICS[name](p.logits, p.labels)) for name in ranked}
    scores = {name: found[name] for name in names}
    if p.problem == REGRESSION:
        return scores
    logits, labels = p.decisions()
    probabilities = softmax(logits)
    scores |= calibration_scores(probabilities, labels, bins, logits)
    if p.posterior is not None:
        posterior = p.posterior.reshape(-1) if p.problem == MULTI else p.posterior
        scores["true_calibration_error"] = true_calibration_error(probabilities, posterior)
        scores["bayes_accuracy"] = bayes_accuracy(posterior)
    return scores


def score_names(problem: str, metrics: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of what :func:`evaluate_predictions` gives where no posterior is known. Arguments as there."""
    labels = {SINGLE: np.arange(2), MULTI: np.eye(2, dtype=int), REGRESSION: np.arange(2.0)}
    rows = Predictions(np.eye(2)[:, : 1 if problem == REGRESSION else 2], labels[problem], problem=problem)
    return tuple(evaluate_predictions(rows, metrics))


def review(p: Predictions, metrics: Sequence[str] = (), bins: int = 15) -> dict[str, float]:
    """Every number of a final report: those of ``evaluate_predictions``, then what takes longer. Arguments as there.

    Returns:
        For a regression nothing more. For classification also, in this order: ece_mass (bins of equal mass),
        ece_classwise, mce, rmsce_debiased (bins of equal mass), ece_by_chance (the mean over 1,000 seeded draws),
        brier_reliability, brier_resolution (the generalised one) and brier_uncertainty, which add up to brier
        as reliability - resolution + uncertainty, aurc, and accuracy_at_80. See docs/calibration.md for each.

    Raises:
        UserError: without labels or rows, or for an unknown metric.
    """
    scores = evaluate_predictions(p, metrics, bins)
    if p.problem == REGRESSION:
        return scores
    return scores | further_scores(*p.confidence(), p.probabilities, np.asarray(p.labels), bins)


def further_scores(
    confidence: np.ndarray, correct: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> dict[str, float]:
    """What ``review`` adds. confidence, correct: (D,), of each decision; probabilities, labels: as ``class_bins``."""
    mass = bin_confidences(confidence, correct, bins, "mass")
    brier_of = brier_parts(probabilities, labels, bins)
    curve = Coverage.of(confidence, correct)
    return {
        "ece_mass": ece(mass),
        "ece_classwise": ece_classwise(probabilities, labels, bins),
        "mce": mce(bin_confidences(confidence, correct, bins)),
        "rmsce_debiased": rmsce_debiased(mass),
        "ece_by_chance": ece_by_chance(confidence, bins).mean,
        "brier_reliability": brier_of.reliability,
        "brier_resolution": brier_of.generalised_resolution,
        "brier_uncertainty": brier_of.uncertainty,
        "aurc": aurc(curve),
        "accuracy_at_80": accuracy_at(curve, 0.8),
    }


def bin_predictions(p: Predictions, bins: int = 15) -> Bins:
    """The bins that the calibration numbers of ``evaluate_predictions`` read: what a reliability plot draws.

    Raises:
        UserError: for a regression, which has no confidence, or without labels or rows.
    """
    logits, labels = p.decisions()
    return bin_decisions(softmax(logits), labels, bins, logits)
