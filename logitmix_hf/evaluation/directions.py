"""Which way each score is better: the one table that chooses a best checkpoint and a best run."""

from __future__ import annotations

BETTER: dict[str, int] = {
    **dict.fromkeys(
        (
            *("accuracy", "top5_accuracy", "subset_accuracy", "f1", "f1_macro", "f1_micro", "matthews_correlation"),
            *(
                "balanced_accuracy",
                "pearson",
                "spearmanr",
                "r2",
                "accuracy_at_80",
                "brier_resolution",
                "member_accuracy",
            ),
        ),
        1,
    ),
    **dict.fromkeys(
        (
            *("loss", "nll", "nll_refined", "brier", "brier_reliability", "mse", "rmse", "mae"),
            *(
                "ece",
                "ece_mass",
                "ece_classwise",
                "mce",
                "oe",
                "rmsce_debiased",
                "true_calibration_error",
                "aurc",
                "member_nll",
            ),
        ),
        -1,
    ),
    # Signed, or of the data and not of the model.
    **dict.fromkeys(("d_re", "ensemble_gain"), 0),
    **dict.fromkeys(("confidence_gap", "ece_by_chance", "brier_uncertainty", "bayes_accuracy"), 0),
}
"""1 where more is better, -1 where less is, 0 where neither end is: a confidence gap is best at 0."""


def better(key: str) -> int | None:
    """The direction of a score by its name or by a key that ends in it (``eval_ece``, ``eval_mm_nll``); None if unknown.

    >>> better("eval_ece"), better("accuracy"), better("confidence_gap"), better("bleu")
    (-1, 1, 0, None)
    """
    words = key.split("_")
    names = ("_".join(words[start:]) for start in range(len(words)))  # the longest first: ece_mass before mass
    return next((BETTER[name] for name in names if name in BETTER), None)
