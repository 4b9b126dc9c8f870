"""All that ``review`` says of predictions, as measures of many resamples at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logitmix_hf.evaluation.classwise import class_outcomes
from logitmix_hf.evaluation.decisions import log_softmax, softmax
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.evaluation.resampled_metrics import metric_measure
from logitmix_hf.evaluation.resampling import Measure, in_order, means, of_classes, width_bins
from logitmix_hf.evaluation.scores import DEFAULT_METRICS


def measures_of(p: Predictions, metrics: Sequence[str] = (), bins: int = 15) -> list[Measure]:
    """Measures whose scores together are those of ``review(p, metrics, bins)`` but for ece_by_chance."""
    measures = [metric_measure(p, name) for name in metrics or DEFAULT_METRICS[p.problem]]
    if p.problem == REGRESSION:
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
    return [
        *measures,
        means({name: value.reshape(each).mean(axis=1) for name, value in values.items()}),
        width_bins(confidence, correct, bins),
        in_order(confidence, correct, bins, 0.8),
        of_classes(*class_outcomes(p.probabilities, np.asarray(p.labels)), bins, p.problem == MULTI),
    ]
