"""What can be done about confidence: the temperature that was fitted, and what is right if the unsure is left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from logitmix_hf.evaluation.coverage import answered
from logitmix_hf.evaluation.decisions import softmax
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.reporting.card.facts import Facts, finite
from logitmix_hf.reporting.card.scores import bracketed, shown
from logitmix_hf.reporting.card.words import SCORE_NAMES, TEMPERED
from logitmix_hf.tables import markdown_table

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.5)
PICTURE = "calibration.png"
"""Where a run with a temperature leaves its reliability before and after."""

ENOUGH = 50
"""Rows below which a temperature is hardly known."""


def temperature(facts: Facts) -> str:
    """The section ``Temperature``; empty where none was fitted."""
    divisor = facts.divisor
    if divisor is None or not facts.classifies:
        return ""
    told = {**facts.temperature, **(facts.results.get("calibration") or {})}
    if told.get("bound") == "lower" and divisor == 1:
        return (
            "**T stays at 1, so these probabilities are not calibrated**: down to the end of the search more confidence was "
            f"always better{_fitted_on({**told, 'interval': (), 'temperatures': ()})}"
        )
    meaning = _meaning(divisor, told.get("interval") or ())
    where = {
        True: "It is folded into the last linear layer (weights and bias divided by T), so that a pipeline or an export "
        "gives calibrated probabilities without further code; the class that is chosen stays the same. Logits times T "
        "are those before.",
        False: "It is **not** in the weights: `config.json` holds it under `logitmix`, and the logits must be divided by "
        "it (see Use).",
        None: "No model with it was saved: the logits must be divided by it (see Use).",
    }[facts.folded]
    parts = [
        f"T = {divisor:.4f}{meaning}. It is the one number by which the logits are divided to "
        f"make their negative log-likelihood least{_fitted_on(told)}",
        where,
        _before_and_after(facts),
        f"![Reliability before and after the temperature]({PICTURE})" if facts.tempered_picture else "",
    ]
    if isinstance(rows := told.get("rows"), int) and rows < ENOUGH:
        parts.append(f"**It was fitted on only {rows} rows, and is hardly known.**")
    if told.get("bound"):
        parts.append(
            f"**T stopped at the {told['bound']} bound of the search: less confidence was always better, and the logits may "
            "say nothing of the labels.**"
        )
    if told.get("protocol") == "eval":
        parts.append(
            "**T was fitted on the split that it is judged on, so the calibration after it is better than on new data "
            "of the same kind.**"
        )
    return "\n\n".join(part for part in parts if part)


def _meaning(divisor: float, interval: Any) -> str:
    """Which way the model erred; nothing is claimed where the interval of T holds 1."""
    if len(interval) == 2 and None not in interval and interval[0] <= 1 <= interval[1]:
        return ", and the interval below holds 1, which changes nothing"
    return "" if divisor == 1 else f": the model was {'over' if divisor > 1 else 'under'}-confident"


def _fitted_on(told: dict[str, Any]) -> str:
    """What T was fitted on and how well it is known, as the end of a sentence."""
    counted = "rows)" in str(told.get("split"))  # a share of train says how many it is
    rows = f" ({told['rows']:,} rows)" if isinstance(told.get("rows"), int) and not counted else ""
    on = f" on {told['split']}{rows}." if told.get("split") else "."
    ends, halves = told.get("interval") or (), told.get("temperatures") or ()
    if len(ends) == 2 and None not in ends:
        on += f" Its 95 % interval is {ends[0]:.4g} to {ends[1]:.4g}."
    if len(halves) == 2 and None not in halves:
        on += f" T is the mean of those of the halves, {halves[0]:.4f} and {halves[1]:.4f}."
    return on


def _before_and_after(facts: Facts) -> str:
    rows = []
    for prefix, split in facts.splits.items():
        before = f"{prefix}_uncalibrated"
        for metric in TEMPERED:
            found = [finite(facts.results.get(f"{key}_{metric}")) for key in (before, prefix)]
            values = [value for value in found if value is not None]
            if len(values) < 2:
                continue
            cells = [
                shown(value) + (f" {bracketed(interval)}" if (interval := facts.interval(key, metric)) else "")
                for key, value in zip((before, prefix), values, strict=True)
            ]
            rows.append((str(split.get("split", prefix)), SCORE_NAMES[metric], *cells))
    return markdown_table(("split", "score", "before", "after"), rows, "--rr") if rows else ""


def coverage(facts: Facts) -> str:
    """The section ``Coverage``: how accurate the surest rows are, and from which confidence on a row is among them."""
    rows = []
    for prefix, predictions in facts.predictions.items():
        name = str(facts.splits.get(prefix, {}).get("split", prefix))
        for wanted, threshold, reached, accuracy in coverage_rows(predictions):
            limit = "none" if wanted == 1 else threshold
            rows.append((name, f"{wanted:.0%}", limit, f"{reached:.1%}", f"{accuracy:.4f}"))
    if not rows:
        return ""
    several = any(predictions.problem == MULTI for predictions in facts.predictions.values())
    what = " Each label's yes or no counts as a row." if several else ""
    head = ("split", "coverage asked for", "confidence at least", "coverage", "accuracy")
    shares = markdown_table(head, rows, "-rrrr")
    return (
        f"{shares}\n\nIf the model answers only where its confidence, the probability of what it chose, "
        f"reaches the threshold, it answers this share of the rows and is right on this share of those.{what} The "
        "thresholds were read off the split that the accuracies are of: on new data the coverage moves a little, and on "
        "data of another kind a lot."
    )


def coverage_rows(predictions: Predictions) -> list[tuple[float, str, float, float]]:
    """For each of ``COVERAGES``: it, the threshold as one would type it, the coverage and the accuracy that this gives.

    The threshold is the highest that covers at least the share asked for, rounded down to the fewest digits that take
    in no further row; rows of equal confidence come together, so the coverage may be more than was asked for. Empty
    for regression and where labels are unknown.
    """
    if predictions.problem == REGRESSION or predictions.labels is None or not len(predictions):
        return []
    logits, labels = predictions.decisions()
    confidence, right = softmax(logits).max(axis=1), logits.argmax(axis=1) == labels
    falling = np.sort(confidence)[::-1]
    found = []
    for wanted in COVERAGES:
        least = falling[answered(len(falling), wanted) - 1]
        text = _typed(least, confidence)
        taken = confidence >= (0.0 if wanted == 1 else float(text))
        found.append((wanted, text, float(taken.mean()), float(right[taken].mean())))
    return found


def _typed(least: float, confidence: np.ndarray) -> str:
    """``least`` rounded down to the fewest digits (three at least) that keep the rows below it out."""
    count = int((confidence >= least).sum())
    for digits in range(3, 16):
        text = f"{math.floor(least * 10**digits) / 10**digits:.{digits}f}"
        if float(text) <= least and int((confidence >= float(text)).sum()) == count:
            return text
    return repr(float(least))
