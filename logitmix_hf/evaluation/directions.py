"""Which way each score is better: the one table that chooses a best checkpoint and a best run."""

from __future__ import annotations

_NAMES = {
    1: """accuracy top5_accuracy subset_accuracy balanced_accuracy accuracy_at_80 member_accuracy f1 f1_macro f1_micro
        matthews_correlation pearson spearmanr r2 brier_resolution""",
    -1: """loss nll nll_refined member_nll brier brier_reliability mse rmse mae ece ece_mass ece_classwise mce oe
        rmsce_debiased true_calibration_error aurc""",
    # Signed, or of the data and not of the model.
    0: "confidence_gap d_re ensemble_gain ece_by_chance brier_uncertainty bayes_accuracy",
}
BETTER: dict[str, int] = {name: sign for sign, names in _NAMES.items() for name in names.split()}
"""1 where more is better, -1 where less is, 0 where neither end is: a confidence gap is best at 0."""


def better(key: str) -> int | None:
    """The direction of a score by its name or by a key that ends in it (``eval_ece``, ``eval_mm_nll``); None if unknown.

    >>> better("eval_ece"), better("accuracy"), better("confidence_gap"), better("bleu")
    (-1, 1, 0, None)
    """
    words = key.split("_")
    names = ("_".join(words[start:]) for start in range(len(words)))  # the longest first: ece_mass before mass
    return next((BETTER[name] for name in names if name in BETTER), None)
