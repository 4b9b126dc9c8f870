"""How the scores of cards and reports are called."""

from __future__ import annotations

SCORE_NAMES = {
    "accuracy": "Accuracy",
    "top5_accuracy": "Top-5 accuracy",
    "f1": "F1",
    "f1_micro": "F1 (micro)",
    "f1_macro": "F1 (macro)",
    "subset_accuracy": "Accuracy of whole rows",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearmanr": "Spearman correlation",
    "mse": "Mean squared error",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "r2": "R² (share of variance explained)",
    "ece": "Expected calibration error (ECE)",
    "oe": "Over-confidence error (OE)",
    "confidence_gap": "Confidence gap",
    "nll": "Negative log-likelihood (NLL)",
    "brier": "Brier score",
    "ece_mass": "ECE, bins of equal mass",
    "ece_classwise": "ECE, class-wise",
    "mce": "Maximum calibration error (MCE)",
    "rmsce_debiased": "Root mean squared calibration error, debiased",
    "ece_by_chance": "ECE that a perfectly calibrated model would show by chance",
    "brier_reliability": "Brier score: reliability",
    "brier_resolution": "Brier score: resolution",
    "brier_uncertainty": "Brier score: uncertainty",
    "aurc": "Area under the risk-coverage curve (AURC)",
    "accuracy_at_80": "Accuracy at 80 % coverage",
    "true_calibration_error": "True calibration error",
    "bayes_accuracy": "Bayes accuracy",
}
"""Every score of a report, in its order, and how it is called."""
