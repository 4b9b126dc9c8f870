"""All that ``review`` says of predictions, as measures of many resamples at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from logitmix_hf.evaluation.classwise import class_outcomes
from logitmix_hf.evaluation.decisions import log_softmax, softmax
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.evaluation.resampled_metrics import MEASURES
from logitmix_hf.evaluation.resampling import (
    Measure,
    in_order,
    means,
    of_classes,
    resampled_rows,
    weights_of,
    width_bins,
)
from logitmix_hf.evaluation.scores import DEFAULT_METRICS

WIDTH = frozenset({"ece", "oe", "confidence_gap", "mce"})
IN_ORDER = frozenset({"ece_mass", "rmsce_debiased", "aurc", "accuracy_at_80"})
OF_CLASSES = frozenset({"ece_classwise", "brier_reliability", "brier_resolution", "brier_uncertainty"})


def measures_of(
    p: Predictions, metrics: Sequence[str] = (), bins: int = 15, only: Collection[str] | None = None
) -> list[Measure]:
    """Measures whose scores together are those of ``review(p, metrics, bins)`` but for ece_by_chance.

    only: names of scores; measures that give none of them are left out.
    """
    wanted = None if only is None else set(only)
    names = metrics or DEFAULT_METRICS[p.problem]
    measures = [MEASURES[p.problem][name](p, name) for name in names if wanted is None or name in wanted]
    if p.problem == REGRESSION or (wanted is not None and wanted <= set(names)):
        return measures
    logits, labels = p.decisions()
    probabilities = softmax(logits)
    rows, each = np.arange(len(labels)), (len(p), -1)  # each: the decisions of one row together
    predicted = logits.argmax(axis=1)
    confidence, correct = probabilities.max(axis=1).reshape(each), (predicted == labels).reshape(each)
    error = (probabilities - np.eye(probabilities.shape[1])[labels]) ** 2
    values = {"nll": -log_softmax(logits)[rows, labels], "brier": error.sum(axis=1)}
    if p.posterior is not None:
        posterior = p.posterior.reshape(-1) if p.problem == MULTI else p.posterior
        two = np.stack([1 - posterior, posterior], axis=1) if posterior.ndim == 1 else posterior
        predicted = probabilities.argmax(axis=1)
        values["true_calibration_error"] = np.abs(probabilities[rows, predicted] - two[rows, predicted])
        values["bayes_accuracy"] = two.max(axis=1)
    by_row = means({name: value.reshape(each).mean(axis=1) for name, value in values.items()})
    if wanted is None or wanted & set(values):
        measures.append(by_row)
    if wanted is None or wanted & WIDTH:
        measures.append(width_bins(confidence, correct, bins))
    if wanted is None or wanted & IN_ORDER:
        measures.append(in_order(confidence, correct, bins, 0.8))
    if wanted is None or wanted & OF_CLASSES:
        outcomes = class_outcomes(p.probabilities, np.asarray(p.labels))
        measures.append(of_classes(*outcomes, bins, p.problem == MULTI))
    return measures


def drawn_scores(
    runs: Sequence[Predictions], names: Sequence[str], metrics: Sequence[str], bins: int, resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """The named scores (B,) of each of B draws of rows with replacement, for each run on the same draws.

    Args:
        runs: of the same rows in the same order.
        names: of what ``review`` gives but for ece_by_chance; of a run only those that it has.
        metrics, bins: as for ``review``.
    """
    wanted = [name for name in names if name != "ece_by_chance"]
    measures = [measures_of(p, metrics, bins, wanted) for p in runs]
    blocks: list[list[dict[str, np.ndarray]]] = [[] for _ in runs]
    for drawn in resampled_rows(len(runs[0]), int(resamples), seed):
        weights = weights_of(drawn)
        for block, several in zip(blocks, measures, strict=True):
            block.append({name: score for measure in several for name, score in measure(weights).items()})
    return [
        {name: np.concatenate([each[name] for each in block]) for name in wanted if name in block[0]}
        for block in blocks
    ]
