"""Where yes begins: thresholds of probabilities that make F1 highest, or a cost lowest, on rows that did not train."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.predictions import MULTI, Predictions

GOALS = {
    "label": "a threshold for each label, where its F1 is highest",
    "macro": "one threshold for all labels, where the mean of their F1 is highest",
    "micro": "one threshold for all labels, where the F1 of all their yes and no together is highest",
}
COST = "cost"
"""The goal of ``--cost``: a threshold for each label, where its mistakes cost least."""
FEW = 10
"""Rows with (or without) a label below which its threshold is told to be hardly known."""
_GRID = 2000  # places at which one threshold for all labels is tried, at most


@dataclass(frozen=True)
class Thresholds:
    """A label is said where its probability is above its threshold.

    values: threshold in [0, 1] by label; of two classes that of one label, the positive one, else the other is said.
    goal:   a name in :data:`GOALS`, or :data:`COST`.
    cost:   what a miss ("FN") and a false alarm ("FP") cost, where that is the goal.
    """

    values: Mapping[str, float]
    goal: str = "label"
    cost: Mapping[str, float] | None = None

    def of(self, label_names: Sequence[str]) -> np.ndarray:
        """(C,) in the order of the labels; NaN for the label of two that is said where the other is not."""
        return np.array([self.values.get(name, np.nan) for name in label_names])

    def decide(self, probabilities: np.ndarray, label_names: Sequence[str]) -> np.ndarray:
        """(N, C) probabilities of several labels a row to (N, C) of 0 and 1; of two classes to (N,) class numbers."""
        limits = self.of(label_names)
        if not np.isnan(limits).any():
            return (probabilities > limits).astype(np.int64)
        positive = int(np.flatnonzero(~np.isnan(limits))[0])
        said = probabilities[:, positive] > limits[positive]
        return np.where(said, positive, 1 - positive)

    def record(self) -> dict[str, Any]:
        """What ``config.json`` says of it."""
        return {"goal": self.goal, "thresholds": dict(self.values), **({"cost": dict(self.cost)} if self.cost else {})}

    @classmethod
    def read(cls, record: Any, label_names: Sequence[str]) -> Thresholds | None:
        """What :meth:`record` wrote; None for nothing.

        Raises:
            UserError: for a label that the model does not have, or a value that is no probability.
        """
        if not isinstance(record, Mapping) or not record.get("thresholds"):
            return None
        values = dict(record["thresholds"])
        for name, value in values.items():
            pick(dict.fromkeys(label_names), name, "label of the model with a threshold in config.json")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UserError(f"The threshold of {name!r} in config.json is {value!r}; it must be in [0, 1].")
        if len(values) != len(label_names) and (len(values), len(label_names)) != (1, 2):
            raise UserError(
                f"config.json has thresholds for {len(values)} of {len(label_names)} labels: calibrate the model again."
            )
        return cls(values, str(record.get("goal", "label")), record.get("cost"))


def read_cost(text: str) -> dict[str, float]:
    """``"FN=5,FP=1"`` as {"FN": 5.0, "FP": 1.0}; one that is left out is 1.

    Raises:
        UserError: for anything else, a cost below 0, and two costs of 0.
    """
    found = {"FN": 1.0, "FP": 1.0}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(FN|FP)\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*", part, re.IGNORECASE)
        if match is None:
            raise UserError(
                f"--cost {text!r} is no cost: say what a miss and a false alarm cost, as --cost FN=5,FP=1 (0 and up)."
            )
        found[match[1].upper()] = float(match[2])
    if not any(found.values()):
        raise UserError(f"--cost {text!r} lets every mistake go free: give FN or FP a cost above 0.")
    return found


def fit_thresholds(
    p: Predictions, goal: str = "label", cost: Mapping[str, float] | None = None, positive: str | None = None
) -> Thresholds:
    """The thresholds that serve the goal best on these rows.

    A threshold lies midway between two probabilities that occur. Of equally good ones it is that nearest to a half. A label
    that no row has, or every row, keeps a half.

    Args:
        p: labelled, of several labels a row or of two classes, calibrated.
        goal: a name in :data:`GOALS`. Of two classes "label" is the F1 of the positive one, "macro" the mean of both, and
            "micro" is accuracy.
        cost: takes the place of the goal; see :func:`read_cost`.
        positive: of two classes the label whose probability has the threshold; default the second.

    Raises:
        UserError: for another task, an unknown label, or no labels.
    """
    check_task(p.problem, p.label_names, positive)
    if p.labels is None or not len(p):
        raise UserError("Thresholds need rows with labels: give labelled ones.")
    if p.problem == MULTI:
        names, scores, truth = p.label_names, p.probabilities, p.labels.astype(bool)
    else:
        number = 1 if positive is None else p.label_names.index(positive)
        names, scores, truth = (p.label_names[number],), p.probabilities[:, [number]], p.labels[:, None] == number
    if cost is not None:
        costs = dict(cost)
        values = [
            _best(one, own, lambda *counts: -_cost(*counts, cost=costs))
            for one, own in zip(scores.T, truth.T, strict=True)
        ]
        return Thresholds(dict(zip(names, values, strict=True)), COST, costs)
    pick(GOALS, goal, "goal of thresholds")
    if p.problem == MULTI and goal != "label":
        value = _common(scores, truth, macro=goal == "macro")
        return Thresholds(dict.fromkeys(names, value), goal)
    measure = {"label": _f1, "macro": _both_f1, "micro": _right}[goal]
    return Thresholds({name: _best(scores[:, k], truth[:, k], measure) for k, name in enumerate(names)}, goal)


def check_task(problem: str, label_names: Sequence[str], positive: str | None = None) -> None:
    """Require a task of yes and no.

    Raises:
        UserError: for a regression, more than two classes of which one is said, or an unknown label.
    """
    if problem != MULTI and len(label_names) != 2:
        what = f"this one tells {len(label_names)} classes apart" if label_names else "this one gives a value"
        raise UserError(f"Thresholds are for two classes, or several labels a row; {what}: leave them out.")
    if positive is not None:
        if problem == MULTI:
            raise UserError("--positive_label is for two classes, and here every label has a threshold: leave it out.")
        pick(dict.fromkeys(label_names), positive, "label for --positive_label")


def few(p: Predictions) -> list[str]:
    """A line where labels have few rows for their thresholds, or none."""
    assert p.labels is not None
    with_it = p.labels.sum(axis=0) if p.problem == MULTI else np.bincount(p.labels, minlength=2)
    least = np.minimum(with_it, len(p) - with_it)
    found = [name for name, count in zip(p.label_names, least, strict=True) if count < FEW]
    if not found:
        return []
    named = ", ".join(repr(name) for name in found[:5]) + (" …" if len(found) > 5 else "")
    return [
        f"Thresholds are hardly known where fewer than {FEW} of the {len(p)} rows have the label, or lack it: {named}; a label"
        " that none or all have keeps a half."
    ]


def answers(p: Predictions, thresholds: Sequence[tuple[np.ndarray, Thresholds]]) -> np.ndarray:
    """What is said of each row, as :meth:`Thresholds.decide`; arguments as :func:`decision_scores`."""
    probabilities = p.probabilities
    said = (probabilities > 0.5).astype(np.int64) if p.problem == MULTI else probabilities.argmax(axis=1)
    for rows, one in thresholds:
        said[rows] = one.decide(probabilities[rows], p.label_names)
    return said


def decision_scores(
    p: Predictions, thresholds: Sequence[tuple[np.ndarray, Thresholds]] | None = None
) -> dict[str, float]:
    """Scores of what is said: accuracy (of rows; with several labels all of a row must be right), F1, and costs where given.

    Args:
        thresholds: rows (N,) bool, and what decides them; None: the likeliest class, and labels above a half.
    """
    from sklearn.metrics import accuracy_score, f1_score

    assert p.labels is not None
    said = answers(p, thresholds or ())
    scores = {"accuracy": accuracy_score(p.labels, said)}
    for average in ("micro", "macro"):
        scores[f"f1_{average}"] = f1_score(p.labels, said, average=average, zero_division=0.0)  # type: ignore[arg-type]
    return {name: float(value) for name, value in scores.items()}


def mean_cost(p: Predictions, said: np.ndarray, cost: Mapping[str, float], positive: int = 1) -> float:
    """The cost of a row, all its labels together."""
    assert p.labels is not None
    truth, told = (p.labels == 1, said == 1) if p.problem == MULTI else (p.labels == positive, said == positive)
    return float((cost["FN"] * (truth & ~told) + cost["FP"] * (~truth & told)).sum() / len(p))


def _best(scores: np.ndarray, truth: np.ndarray, measure: Any) -> float:
    """The threshold of one label; ``measure`` of hits, alarms, rows with the label, and rows."""
    if truth.all() or not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.concatenate([[0], np.cumsum(truth[order])])
    alarms = np.arange(len(scores) + 1)
    may = np.concatenate([[True], ordered[:-1] > ordered[1:], [True]])  # equal probabilities are said together
    around = np.concatenate([[1.0], ordered, [0.0]])
    places = (around[:-1] + around[1:]) / 2
    values = np.where(may, measure(hits, alarms, truth.sum(), len(truth)), -np.inf)
    good = np.flatnonzero(values >= values.max() - 1e-12)
    return float(places[good[np.argmin(np.abs(places[good] - 0.5))]])


def _f1(hits: Any, alarms: Any, positives: Any, rows: Any) -> Any:
    return 2 * hits / np.maximum(alarms + positives, 1)


def _both_f1(hits: Any, alarms: Any, positives: Any, rows: Any) -> Any:
    return _f1(hits, alarms, positives, rows) + _f1(
        rows - positives - alarms + hits, rows - alarms, rows - positives, rows
    )


def _right(hits: Any, alarms: Any, positives: Any, rows: Any) -> Any:
    return (rows - positives - alarms + 2 * hits) / rows


def _cost(hits: Any, alarms: Any, positives: Any, rows: Any, cost: Mapping[str, float]) -> Any:
    return (cost["FN"] * (positives - hits) + cost["FP"] * (alarms - hits)) / rows


def _common(scores: np.ndarray, truth: np.ndarray, macro: bool) -> float:
    """One threshold for all labels."""
    occurring = np.unique(np.concatenate([[0.0], scores.reshape(-1), [1.0]]))
    places = (occurring[:-1] + occurring[1:]) / 2
    if len(places) > _GRID:
        places = places[np.linspace(0, len(places) - 1, _GRID).astype(int)]
    hits, alarms = (np.empty((len(places), scores.shape[1])) for _ in range(2))
    for k in range(scores.shape[1]):
        for counts, values in ((hits, np.sort(scores[truth[:, k], k])), (alarms, np.sort(scores[:, k]))):
            counts[:, k] = len(values) - np.searchsorted(values, places, side="right")
    positives = truth.sum(axis=0)
    if macro:
        measured = _f1(hits, alarms, positives, len(truth)).mean(axis=1)
    else:
        measured = _f1(hits.sum(axis=1), alarms.sum(axis=1), positives.sum(), truth.size)
    good = np.flatnonzero(measured >= measured.max() - 1e-12)
    return float(places[good[np.argmin(np.abs(places[good] - 0.5))]])
