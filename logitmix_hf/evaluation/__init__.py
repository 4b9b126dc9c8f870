"""Judge predictions: task scores, calibration, temperature. Knows nothing of training; imports only numpy at first."""

from __future__ import annotations

from logitmix_hf.evaluation.calibration import (
    Bins,
    bayes_accuracy,
    bin_confidences,
    brier,
    confidence_gap,
    ece,
    mce,
    nll,
    oe,
    true_calibration_error,
)
from logitmix_hf.evaluation.modules import module_path
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.scores import (
    DEFAULT_METRICS,
    GLUE_METRICS,
    METRICS,
    bin_predictions,
    evaluate_predictions,
    task_scores,
)
from logitmix_hf.evaluation.temperature import (
    HalfTemperatures,
    Temperature,
    fit_halves,
    fit_temperature,
    second_half,
)

__all__ = [
    "DEFAULT_METRICS",
    "GLUE_METRICS",
    "METRICS",
    "MULTI",
    "REGRESSION",
    "SINGLE",
    "Bins",
    "HalfTemperatures",
    "Predictions",
    "Temperature",
    "bayes_accuracy",
    "bin_confidences",
    "bin_predictions",
    "brier",
    "confidence_gap",
    "ece",
    "evaluate_predictions",
    "fit_halves",
    "fit_temperature",
    "mce",
    "module_path",
    "nll",
    "oe",
    "second_half",
    "task_scores",
    "true_calibration_error",
]
