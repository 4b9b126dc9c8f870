"""Every number of every run, under one flat set of keys that tables, pictures and ``results.csv`` share.

``ece`` is the score as trained; ``ece_at_t`` is the same score after the temperature. A run that has a temperature of
its own holds the logits after it, so there ``ece`` is computed from the logits times T.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from logitmix_hf.evaluation import Predictions, bootstrap, review
from logitmix_hf.evaluation.corruption import PREFIX as CORRUPTED
from logitmix_hf.evaluation.corruption import SCORES
from logitmix_hf.evaluation.members import member_scores
from logitmix_hf.evaluation.ood import OOD_MEASURES, OOD_SCORES
from logitmix_hf.evaluation.refinement import refinement
from logitmix_hf.reporting.comparison.grouping import JudgedTask, Member, Variant
from logitmix_hf.reporting.comparison.temperature import OWN, Tempered, temper
from logitmix_hf.reporting.numbers import finite, pair

AFTER = "_at_t"
"""What the key of a score after temperature ends with."""

OOD_KEY = re.compile(rf"ood_(.+)_({'|'.join(OOD_SCORES)})_({'|'.join(OOD_MEASURES)})")
"""The key of a measure of data of no class: its name, the score and the measure."""

CORRUPTED_KEY = re.compile(rf"{CORRUPTED}(\w+?)_({'|'.join(SCORES)})")
"""The key of a score on corrupted images: a corruption, or a pool such as all19, and the score."""


@dataclass(frozen=True)
class Options:
    """How a report judges.

    Attributes:
        bins: of the calibration scores; one number for all runs, so that they compare.
        resamples: of the bootstrap; 0 leaves out intervals and bold.
        level: of the intervals.
        seed: of the resamples.
        last: of how many last evaluations of the training the mean is told; 0: of none.
    """

    bins: int = 15
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    last: int = 0


@dataclass(frozen=True, eq=False)
class Scored:
    """One run on one split with its numbers.

    Attributes:
        values: by key; absent where unknown.
        intervals: (low, high) by key, for the scores.
    """

    member: Member
    tempered: Tempered | None
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.member.run.name

    def side(self, after: bool) -> Predictions:
        """The predictions that the keys with or without ``_at_t`` are computed from."""
        if self.tempered is None:
            return self.member.predictions
        return self.tempered.after if after else self.tempered.before


@dataclass(frozen=True, eq=False)
class ScoredVariant:
    """The runs of one method."""

    variant: Variant
    runs: Sequence[Scored]

    @property
    def label(self) -> str:
        return self.variant.label

    def known(self, key: str) -> list[float]:
        """The value of each run that has it."""
        return [run.values[key] for run in self.runs if key in run.values]

    def mean(self, key: str) -> float:
        """Over the seeds; NaN unless every run has the value."""
        found = self.known(key)
        return math.fsum(found) / len(found) if found and len(found) == len(self.runs) else math.nan

    def spread(self, key: str) -> float | None:
        """Sample standard deviation over the seeds, with n - 1; None for a single run."""
        found = self.known(key)
        if len(found) < 2:
            return None
        mean = math.fsum(found) / len(found)
        return math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (len(found) - 1))


def score(task: JudgedTask, options: Options) -> list[ScoredVariant]:
    """All numbers of a task."""
    return [
        ScoredVariant(variant, [_scored(member, task.metrics, options) for member in variant.members])
        for variant in task.variants
    ]


def _scored(member: Member, metrics: Sequence[str], options: Options) -> Scored:
    tempered = temper(member.run, member.predictions)
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    sides = [("", member.predictions)] if tempered is None else [("", tempered.before), (AFTER, tempered.after)]
    names = [name for name in metrics if name in member.run.metrics]
    for ending, predictions in sides:
        values |= {f"{key}{ending}": value for key, value in _finite(review(predictions, names, options.bins))}
        intervals |= _intervals(member, tempered, predictions, ending, names, options)
    values |= refinement(sides[0][1])
    if tempered is not None and tempered.value is not None:
        values["temperature"] = tempered.value
    values |= dict(_finite(member_scores(member.predictions)))
    values |= last_evaluations(member.run.history, member.prefix, names, options.last)
    if member.prefix == next(iter(member.run.splits)):
        results = member.run.results.items()
        beside = {key: value for key, value in results if OOD_KEY.fullmatch(key) or CORRUPTED_KEY.fullmatch(key)}
        values |= dict(_finite(beside))
    return Scored(member, tempered, values | dict(_cost(member.run.record)), intervals)


def _intervals(
    member: Member,
    tempered: Tempered | None,
    predictions: Predictions,
    ending: str,
    metrics: Sequence[str],
    options: Options,
) -> dict[str, tuple[float, float]]:
    """From the run's own file where it holds what is asked for, else from the bootstrap."""
    if options.resamples == 0:
        return {}
    recorded = member.run.intervals
    asked = {"level": options.level, "resamples": options.resamples, "seed": options.seed}
    as_judged = (ending == AFTER) == (tempered is not None and tempered.source == OWN)
    bins = member.run.record["arguments"].get("bins", 15)
    if as_judged and bins == options.bins and all(recorded.get(key) == value for key, value in asked.items()):
        own = recorded.get(member.prefix)
        known = own.items() if isinstance(own, dict) else ()
        return {f"{key}{ending}": ends for key, each in known if (ends := pair(each)) is not None}
    drawn = bootstrap(predictions, metrics, options.bins, options.resamples, options.seed, options.level)
    return {f"{key}{ending}": (found.low, found.high) for key, found in drawn.items() if math.isfinite(found.low)}


def last_evaluations(
    history: Sequence[Mapping[str, Any]], prefix: str, metrics: Sequence[str], count: int
) -> dict[str, float]:
    """The mean over the last ``count`` evaluations of a training, as logged then: before any temperature.

    By key ``last_<score>`` of the task's scores, ECE and NLL; empty where the training logged fewer.
    """
    means = {}
    for name in (*metrics, "ece", "nll") if count else ():
        found = [finite(line[key]) for line in history if (key := f"{prefix}_{name}") in line][-count:]
        kept = [value for value in found if value is not None]
        if len(kept) == count:
            means[f"last_{name}"] = math.fsum(kept) / count
    return means


def _finite(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Those that are one finite number."""
    return ((key, value) for key, each in scores.items() if (value := finite(each)) is not None)


def _cost(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    costs = {key: finite(record.get(key)) for key in ("seconds", "examples_per_second")}
    costs |= {key: finite(record["peak_memory"].get(key)) for key in ("process_mb", "device_mb")}
    costs["memory_mb"] = costs["process_mb"] if costs["device_mb"] is None else costs["device_mb"]
    return _finite(costs)
