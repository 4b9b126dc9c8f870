"""The tables of a card: of each class, of confidence and the temperature, of decisions and sets, of other data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.evaluation.class_scores import class_scores
from logitmix_hf.evaluation.corruption import PREFIX, SCORES
from logitmix_hf.evaluation.coverage import answered
from logitmix_hf.evaluation.ood import OOD_MEASURES, OOD_SCORES
from logitmix_hf.evaluation.predictions import REGRESSION, Predictions
from logitmix_hf.reporting.card.facts import Facts
from logitmix_hf.reporting.class_lines import class_cells, named, summary
from logitmix_hf.reporting.numbers import bracketed, count, finite, finite_cells, number, pair
from logitmix_hf.reporting.score_names import SCORE_NAMES
from logitmix_hf.tables import markdown_text

MOST_ROWS = 30
MOST_COLUMNS = 10
"""Classes up to which a card shows the confusion matrix in numbers."""
MOST_PAIRS = 10


@dataclass(frozen=True)
class ClassesOfSplit:
    """One split; every text is Markdown already.

    rows: under ``class_lines.HEADS``, those of lowest F1 where there are more than ``MOST_ROWS``; more: that in words.
    square: the confusion matrix with its heads, or none; pairs: those confused most, where there is no matrix.
    """

    where: str
    summary: str
    rows: Sequence[Sequence[str]] = ()
    more: str = ""
    heads: Sequence[str] = ()
    square: Sequence[Sequence[str]] = ()
    pairs: Sequence[Sequence[str]] = ()


def classes_of_split(where: str, p: Predictions, metrics: Sequence[str], bins: int) -> ClassesOfSplit | None:
    """None without labels or rows; of a regression the line about its mean alone."""
    if p.labels is None or not len(p):
        return None
    found, line = class_scores(p, bins), markdown_text(summary(p, metrics))
    if found is None:
        return ClassesOfSplit(where, line)
    order, more = list(range(len(found))), ""
    if len(found) > MOST_ROWS:
        order = found.weakest()[:MOST_ROWS]
        more = f"These are the {MOST_ROWS} of {len(found):,} classes with the lowest F1; `eval_results.json` has all."
    rows = [[markdown_text(cell) for cell in class_cells(found, k)] for k in order]
    if found.several:
        return ClassesOfSplit(where, line, rows, more)
    names = [markdown_text(named(name)) for name in found.names]
    if found.confusion is not None and len(found) <= MOST_COLUMNS:
        square = [
            [name, *(f"{count:,}" for count in counts)]
            for name, counts in zip(names, found.confusion.tolist(), strict=True)
        ]
        return ClassesOfSplit(where, line, rows, more, ["true class", *(f"as {name}" for name in names)], square)
    pairs = [(names[true], names[said], f"{count:,}") for true, said, count in found.confused[:MOST_PAIRS]]
    return ClassesOfSplit(where, line, rows, more, pairs=pairs)


COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.5)


def coverage_rows(predictions: Predictions) -> list[tuple[float, str, float, float]]:
    """For each of ``COVERAGES``: it, the threshold as one would type it, the coverage and the accuracy that this gives.

    The threshold is the highest that covers at least the share asked for, rounded down to the fewest digits that take
    in no further row; rows of equal confidence come together, so the coverage may be more than was asked for. Empty
    for regression and where labels are unknown.
    """
    if predictions.problem == REGRESSION or predictions.labels is None or not len(predictions):
        return []
    confidence, right = predictions.confidence()
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


TEMPERED = ("ece", "oe", "confidence_gap", "nll", "brier", "ece_mass", "ece_classwise", "true_calibration_error")
"""What is shown before and after a temperature; eval_results.json has the others too."""


def fit(facts: Facts) -> dict[str, Any]:
    """How it was fitted, as far as it is known."""
    found = {**facts.temperature, **(facts.results.get("calibration") or {})}
    ends = pair(found.get("interval"))
    return {
        "split": str(found.get("split") or ""),
        "rows": count(found.get("rows")),
        "protocol": found.get("protocol"),
        "bound": found.get("bound"),
        "interval": ends,
        "holds_1": ends is not None and ends[0] <= 1 <= ends[1],
        "temperatures": pair(found.get("temperatures")),
        "nll": found.get("cross_validated_nll"),
    }


def before_and_after(facts: Facts) -> list[tuple[str, ...]]:
    """Split, score, and its value before and after, each with its interval; the task's own scores where they may differ."""
    rows = []
    for prefix in facts.splits:
        sides = (f"{prefix}_uncalibrated", prefix)
        for metric in (*facts.data.get("metrics", ()), *TEMPERED):
            values = {key: finite(facts.results.get(f"{key}_{metric}")) for key in sides}
            cells = [
                f"{number(value)} {bracketed(facts.interval(key, metric))}".strip()
                for key, value in values.items()
                if value is not None
            ]
            if len(cells) == 2:
                title = SCORE_NAMES.get(metric, metric.replace("_", " "))
                rows.append((markdown_text(facts.judged_on(prefix)), title, *cells))
    return rows


DECIDED = {"accuracy": "Accuracy", "f1_micro": "F1, micro", "f1_macro": "F1, macro", "cost": "Cost of a row"}


def decided(facts: Facts) -> dict[str, Any]:
    """The thresholds by label, what they are to serve, and the scores of what is said without and with them."""
    found = facts.results.get("decision") or {}
    if not found.get("thresholds"):
        return {}
    rows = [
        (markdown_text(facts.judged_on(prefix)), title, number(before[key]), number(after[key]))
        for prefix in facts.splits
        if prefix in found
        for before, after in [(found[prefix]["before"], found[prefix]["after"])]
        for key, title in DECIDED.items()
        if key in after
    ]
    limits = [(markdown_text(name), f"{value:.4f}") for name, value in found["thresholds"].items()]
    return {"goal": found.get("goal"), "cost": found.get("cost"), "limits": limits, "rows": rows}


def sets(facts: Facts) -> dict[str, Any]:
    """Split, class, rows, coverage and mean size of the sets at the coverage that was asked for."""
    found = facts.results.get("sets") or {}
    rows = []
    for prefix in facts.splits:
        if prefix not in found:
            continue
        told, where = found[prefix], markdown_text(facts.judged_on(prefix))
        total = sum(one["rows"] for one in told["classes"].values())
        rows.append((where, "all", f"{total:,}", number(told["coverage"]), f"{told['size']:.2f}"))
        each = list(told["classes"].items())[:20]
        rows += [
            (where, markdown_text(name), f"{one['rows']:,}", number(one["coverage"]), f"{one['size']:.2f}")
            for name, one in each
            if one["rows"]
        ]
    return {"asked": found["asked"], "fitted": found["rows"], "rows": rows} if rows else {}


def corruption_facts(record: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """``rows`` of the table, each a corruption (the mean over its severities) or all images together, with accuracy, NLL
    and ECE; and what they are called, where they come from, and whether they are the benchmark's own. Empty where none were
    judged.

    Args:
        record: what ``run.json`` says under ``data.corrupted``. results: content of ``eval_results.json``.
    """
    pools = (results.get("corrupted") or {}).get("pools") or {}
    rows = []
    for name in (*record.get("corruptions", ()), *pools):
        if cells := finite_cells(results, [f"{PREFIX}{name}_{score}" for score in SCORES]):
            title = f"**all {name.removeprefix('all')}**" if name in pools else name.replace("_", " ")
            rows.append((title, *cells))
    return {**record, "rows": rows, "each": record.get("rows"), "fifteen": "all15" in pools} if rows else {}


def ood_rows(splits: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Data of no class, its rows, the score that tells it from the own data, and each measure of that; as cells.

    Args:
        splits: what ``run.json`` says of such data, by name. results: content of ``eval_results.json``.
    """
    rows = []
    for name, split in splits.items():
        for score, title in OOD_SCORES.items():
            if cells := finite_cells(results, [f"{name}_{score}_{measure}" for measure in OOD_MEASURES]):
                called = markdown_text(name.removeprefix("ood_"))
                rows.append((called, f"{split.get('rows') or 0:,}", title, *cells))
    return rows
