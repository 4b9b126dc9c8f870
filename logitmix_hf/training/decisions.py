"""The thresholds of a run: fitted on the rows of its temperature, judged on others, and kept beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import say
from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.predictions import MULTI
from logitmix_hf.evaluation.thresholds import (
    Thresholds,
    answers,
    decision_scores,
    few,
    fit_thresholds,
    mean_cost,
    read_cost,
)
from logitmix_hf.training.calibration import Calibration
from logitmix_hf.training.run_settings import RunSettings


@dataclass(frozen=True)
class Decisions:
    """A run's thresholds.

    thresholds: what the model keeps; by halves the mean of ``halves``.
    halves: rows of the split ``fitted``, each with the thresholds that the other half fitted; empty where rows of their own
        were fitted on.
    fitted: the calibrated predictions that were halved.
    """

    thresholds: Thresholds
    halves: tuple[tuple[np.ndarray, Thresholds], ...] = ()
    fitted: Predictions | None = None

    def results(self, splits: Mapping[str, Predictions]) -> dict[str, Any]:
        """The entry ``decision`` of ``eval_results.json``: the thresholds, and by prefix the scores of what is said without
        and with them."""
        told: dict[str, Any] = self.thresholds.record()
        for prefix, p in splits.items():
            if p.labels is None:
                continue
            rows = (
                self.halves if p is self.fitted and self.halves else ((np.ones(len(p), dtype=bool), self.thresholds),)
            )
            told[prefix] = {"before": decision_scores(p), "after": decision_scores(p, rows)}
            if self.thresholds.cost:
                told[prefix]["before"]["cost"] = self._cost(p, ())
                told[prefix]["after"]["cost"] = self._cost(p, rows)
        return {"decision": told}

    def _cost(self, p: Predictions, rows: Any) -> float:
        positive = 1 if p.problem == MULTI else p.label_names.index(next(iter(self.thresholds.values)))
        return mean_cost(p, answers(p, rows), self.thresholds.cost or {}, positive)


def fit(run: RunSettings, calibration: Calibration) -> Decisions | None:
    """The thresholds that the flags ask for, on the rows of the temperature, after it; None where they ask for none."""
    if not run.decides:
        return None
    rows = calibration.apply(calibration.fitted)
    goal, cost = run.thresholds or "label", None if run.cost is None else read_cost(run.cost)

    def fitted(p: Predictions) -> Thresholds:
        return fit_thresholds(p, goal, cost, run.positive_label)

    for line in few(rows):
        say(line)
    half = calibration.half
    if half is None:
        return Decisions(fitted(rows))
    first, second = fitted(rows.some(~half)), fitted(rows.some(half))
    values = {name: (value + second.values[name]) / 2 for name, value in first.values.items()}
    return Decisions(Thresholds(values, first.goal, first.cost), ((half, first), (~half, second)), rows)


def line(told: Mapping[str, Any], prefix: str = "eval") -> str:
    """The thresholds, and what they change on a split, in a line."""
    values = ", ".join(f"{name!r} {value:.3g}" for name, value in list(told["thresholds"].items())[:10])
    more = " …" if len(told["thresholds"]) > 10 else ""
    text = f"thresholds ({told['goal']}): {values}{more}"
    if prefix in told:
        before, after = told[prefix]["before"], told[prefix]["after"]
        names = {"f1_macro": "macro F1", "f1_micro": "micro F1", "accuracy": "accuracy", "cost": "cost of a row"}
        changes = [f"{title} {before[key]:.4f} → {after[key]:.4f}" for key, title in names.items() if key in after]
        text += f"; {', '.join(changes)}"
    return text
