"""Judge predictions: task scores, calibration, temperature. Knows nothing of training; imports only numpy at first."""

from __future__ import annotations

from logitmix_hf.evaluation.binning import Bins, bin_confidences
from logitmix_hf.evaluation.calibration import (
    bayes_accuracy,
    brier,
    confidence_gap,
    ece,
    mce,
    nll,
    oe,
    rmsce_debiased,
    true_calibration_error,
)
from logitmix_hf.evaluation.chance import Chance, ece_by_chance
from logitmix_hf.evaluation.classwise import BrierParts, brier_parts, class_bins, ece_classwise
from logitmix_hf.evaluation.coverage import Coverage, accuracy_at, aurc, coverage_curve
from logitmix_hf.evaluation.directions import BETTER, better
from logitmix_hf.evaluation.intervals import Difference, Interval, bin_intervals, bootstrap, compare
from logitmix_hf.evaluation.modules import module_path
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.scores import (
    DEFAULT_METRICS,
    GLUE_METRICS,
    METRICS,
    bin_predictions,
    evaluate_predictions,
    review,
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
    "BETTER",
    "DEFAULT_METRICS",
    "GLUE_METRICS",
    "METRICS",
    "MULTI",
    "REGRESSION",
    "SINGLE",
    "Bins",
    "BrierParts",
    "Chance",
    "Coverage",
    "Difference",
    "HalfTemperatures",
    "Interval",
    "Predictions",
    "Temperature",
    "accuracy_at",
    "aurc",
    "bayes_accuracy",
    "better",
    "bin_confidences",
    "bin_intervals",
    "bin_predictions",
    "bootstrap",
    "brier",
    "brier_parts",
    "class_bins",
    "compare",
    "confidence_gap",
    "coverage_curve",
    "ece",
    "ece_by_chance",
    "ece_classwise",
    "evaluate_predictions",
    "fit_halves",
    "fit_temperature",
    "mce",
    "module_path",
    "nll",
    "oe",
    "review",
    "rmsce_debiased",
    "second_half",
    "task_scores",
    "true_calibration_error",
]
