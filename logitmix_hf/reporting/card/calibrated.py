"""What a card says of a temperature or a vector scaling: how it was fitted, and the scores before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logitmix_hf.reporting.numbers import bracketed, count, finite, number, pair
from logitmix_hf.reporting.score_names import SCORE_NAMES
from logitmix_hf.tables import markdown_text

if TYPE_CHECKING:
    from logitmix_hf.reporting.card.facts import Facts

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
