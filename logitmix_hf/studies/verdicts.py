"""What a study says of its methods: differences from the baseline on every task, and ranks over the tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from logitmix_hf.evaluation import better
from logitmix_hf.evaluation.intervals import CENTRED, INFLATED
from logitmix_hf.evaluation.over_tasks import (
    FEWEST_TASKS,
    Friedman,
    SignedRank,
    bayesian_signed_rank,
    borda,
    holm,
    iman_davenport,
    ranks,
    wilcoxon_p,
)
from logitmix_hf.evaluation.paired import SeedDifference, paired_difference
from logitmix_hf.reporting.comparison.scores import AFTER
from logitmix_hf.studies.scores import StudyScores, StudyTask, drawn, known_scores, seed_scores

DRAWS = 10_000


@dataclass(frozen=True, eq=False)
class Finding:
    """One method against its baseline on one task by one score, signed so that more is better.

    adjusted: p after Holm, over methods and tasks of the first metric; NaN for the others, which are exploratory.
    """

    task: str
    metric: str
    key: str
    method: str
    baseline: str
    found: SeedDifference
    adjusted: float = math.nan
    exploratory: bool = False

    @property
    def bold(self) -> bool:
        """Better by the interval, and by the test: corrected where it counts."""
        return self.found.supported(self.found.p if self.exploratory else self.adjusted)

    @property
    def interval_only(self) -> bool:
        """Better by an interval of too few seeds for the test to find anything."""
        return self.found.interval_only


@dataclass(frozen=True, eq=False)
class Overall:
    """The methods over all tasks, by one metric.

    Attributes:
        mean, rank, points: by method; only of those that lack nothing.
        friedman: None of fewer than six tasks or three methods.
        p: of Wilcoxon's test against the baseline, by method, then corrected by Holm.
        bayes: of the Bayesian signed-rank test against it, by method, where it was asked for.
    """

    tasks: list[str]
    mean: dict[str, float] = field(default_factory=dict)
    rank: dict[str, float] = field(default_factory=dict)
    points: dict[str, float] = field(default_factory=dict)
    friedman: Friedman | None = None
    p: dict[str, float] = field(default_factory=dict)
    adjusted: dict[str, float] = field(default_factory=dict)
    bayes: dict[str, SignedRank] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """By metric, in the order of the study; the first one counts, the others are exploratory."""

    metrics: list[str]
    findings: dict[str, list[Finding]]
    overall: dict[str, Overall]

    def of(self, metric: str, task: str, method: str) -> Finding | None:
        """The finding of one place of the table."""
        return next((each for each in self.findings[metric] if (each.task, each.method) == (task, method)), None)


def metrics_of(scores: StudyScores, asked: Sequence[str]) -> list[str]:
    """The metrics asked for that any task has, NLL and ECE after temperature behind what they are before it."""
    known = {key for task in scores.tasks for key in known_scores(task)}
    found: list[str] = []
    for metric in asked:
        found.append(metric)
        if metric.removeprefix("eval_") in ("nll", "ece"):
            found.append(f"{metric}{AFTER}")
    return [m for m in dict.fromkeys(found) if m == "headline" or m.removeprefix("eval_") in known]


def judge(
    scores: StudyScores,
    metrics: Sequence[str],
    draws: int = DRAWS,
    bins: int = 15,
    seed: int = 0,
    rope: float | None = None,
) -> Verdicts:
    """All tests of a study. metrics: as ``metrics_of`` gives them; rope: of the first one, in its unit, up to which methods
    are alike; None: no Bayesian test."""
    findings: dict[str, list[Finding]] = {metric: [] for metric in metrics}
    for task in scores.tasks:
        keys = {metric: task.key(metric) for metric in metrics}
        wanted = [key for key in dict.fromkeys(keys.values()) if key in known_scores(task)]
        if task.changed or not wanted:
            continue
        of_rows = drawn(task, wanted, draws, bins, seed)
        for metric, key in keys.items():
            findings[metric] += _of_task(scores, task, metric, key, of_rows, seed)
    if metrics:
        first = metrics[0]
        adjusted = holm([each.found.p for each in findings[first]])
        findings[first] = [replace(f, adjusted=p) for f, p in zip(findings[first], adjusted, strict=True)]
        for metric in metrics[1:]:
            findings[metric] = [replace(f, exploratory=True) for f in findings[metric]]
    overall = {metric: _overall(scores, metric, rope if metric == metrics[0] else None) for metric in metrics}
    return Verdicts(list(metrics), findings, overall)


def _of_task(scores: StudyScores, task: StudyTask, metric: str, key: str, of_rows: dict, seed: int) -> list[Finding]:
    sign, found = better(key.removesuffix(AFTER)) or 0, []
    for method in scores.methods if sign else ():
        baseline = scores.baseline_of(method)
        if baseline is None:
            continue
        own, other = task.values(method, metric), task.values(baseline, metric)
        seeds = [each for each in own if each in other]
        if not seeds or key not in of_rows[method][seeds[0]]:  # a score whose rows were not kept has no draws
            continue
        a, b = (seed_scores(task, name, seeds, key, of_rows).signed(sign) for name in (method, baseline))
        raised = key.removesuffix(AFTER) in INFLATED | CENTRED
        found.append(
            Finding(task.name, metric, key, method, baseline, paired_difference(a, b, seed=seed, centred=raised))
        )
    return found


def _overall(scores: StudyScores, metric: str, rope: float | None) -> Overall:
    """Ranks of the methods that lack no cell, over the tasks that have this metric and whose data did not change."""
    tasks = [t for t in scores.tasks if any(t.values(method, metric) for method in scores.methods)]
    if any(t.changed for t in scores.tasks):
        return Overall([t.name for t in tasks])
    asked = [t for t in scores.tasks if t in tasks or not t.runs]
    whole = [m for m in scores.methods if asked and all(t.whole(m) and t.values(m, metric) for t in asked)]
    means = np.array([[float(np.mean(list(t.values(m, metric).values()))) for m in whole] for t in tasks])
    keys = {t.key(metric) for t in tasks}
    signs = {better(key.removesuffix(AFTER)) or 0 for key in keys}
    made = Overall([t.name for t in tasks], {m: float(means[:, i].mean()) for i, m in enumerate(whole)})
    if len(signs) != 1 or 0 in signs or len(whole) < 2:
        return made
    signed = np.round(next(iter(signs)) * means, 12)  # equal means are equal ranks, whatever the order of the sum
    made.rank.update(zip(whole, map(float, ranks(signed).mean(axis=0)), strict=True))
    made.points.update(zip(whole, map(float, borda(signed)), strict=True))
    if len(tasks) < FEWEST_TASKS:
        return made
    against = {m: base for m in whole if (base := scores.baseline_of(m)) in whole and base is not None}
    p = {m: wilcoxon_p(signed[:, whole.index(m)], signed[:, whole.index(base)]) for m, base in against.items()}
    made.p.update(p)
    made.adjusted.update(zip(p, holm(list(p.values())), strict=True))
    if rope is not None:
        columns = dict(zip(whole, signed.T, strict=True))
        made.bayes.update({m: bayesian_signed_rank(columns[m], columns[base], rope) for m, base in against.items()})
    return replace(made, friedman=iman_davenport(signed))
