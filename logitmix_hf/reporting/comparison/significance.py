"""Is the best really the best? The best method against the runner-up, over the seeds that both have and the rows they share.

The means over the seeds say which is best and which comes next. Their difference has the interval and the exact test of
``evaluation.paired``, by the rule of ``logitmix study table``: bold where both say so, a mark where there are too few seeds
for a test and the interval leaves out 0. docs/statistics.md tells every number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from logitmix_hf.evaluation.intervals import CENTRED, INFLATED
from logitmix_hf.evaluation.over_tasks import holm
from logitmix_hf.evaluation.paired import FEWEST, SeedDifference, SeedScores, paired_difference
from logitmix_hf.evaluation.resampled_scores import drawn_scores
from logitmix_hf.reporting.comparison.columns import Column, score_columns
from logitmix_hf.reporting.comparison.grouping import JudgedTask
from logitmix_hf.reporting.comparison.scores import Options, Scored, ScoredVariant

ONLY = "°"
"""Behind a score whose gain has an interval off 0, of too few seeds for a test."""


@dataclass(frozen=True)
class Verdict:
    """Of one score.

    Attributes:
        best, second: labels of the best method and the runner-up.
        found: best minus second, signed so that more is better; of one "seed" where rows alone are drawn.
        supported: whether the best may be bold.
        interval_only: whether it has the mark ``ONLY`` instead.
        words: what was found, for a reader.
    """

    best: str
    second: str
    found: SeedDifference
    supported: bool
    interval_only: bool
    words: str


class Judge:
    """Decides for the methods of one task; the rows of each run are drawn once for all scores.

    adjusted: p of the task's own first score after Holm's correction over the tasks of a report; None of a single test.
    """

    def __init__(self, task: JudgedTask, methods: Sequence[ScoredVariant], options: Options) -> None:
        self.methods, self.metrics, self.options = methods, task.metrics, options
        self.headline = score_columns(task.problem, task.metrics)[0]
        self.adjusted: float | None = None
        self._drawn: dict[int, dict[str, np.ndarray]] = {}

    def verdict(self, column: Column) -> Verdict | None:
        """None where nothing is to be decided: no better and worse, fewer than two methods, no bootstrap, a tie."""
        pair = self._first_two(column)
        found = self._difference(*pair, column) if pair is not None else None
        if pair is None or found is None:
            return None
        best, second = pair
        p = self.adjusted if column.key == self.headline.key and self.adjusted is not None else found.p
        supported, only = found.supported(p), found.interval_only
        words = f"{best.label} before {second.label} by {_told(found)}"
        if math.isfinite(found.p):
            words += f", p = {found.p:.4f}" + (f", after Holm {p:.4f}" if p != found.p else "")
        words += ": supported" if supported else ": interval only" if only else ": not supported"
        if (supported or only) and (rival := self._says_more(best)):
            supported = only = False
            words += f"; not marked: its NLL is the worst of all, and the interval there has {rival} before it"
        return Verdict(best.label, second.label, found, supported, only, words)

    def headline_p(self) -> float:
        """p of the task's own first score, not corrected; NaN where there is no test."""
        pair = self._first_two(self.headline)
        found = self._difference(*pair, self.headline) if pair is not None else None
        return math.nan if found is None else found.p

    def _first_two(self, column: Column) -> tuple[ScoredVariant, ScoredVariant] | None:
        if not column.better or not column.tested or not self.options.resamples:
            return None
        known = [method for method in self.methods if math.isfinite(method.mean(column.key))]
        ordered = sorted(known, key=lambda method: -column.better * method.mean(column.key))
        if len(ordered) < 2 or ordered[0].mean(column.key) == ordered[1].mean(column.key):
            return None
        return ordered[0], ordered[1]

    def _says_more(self, best: ScoredVariant) -> str | None:
        """The method of the lowest NLL, where ``best`` has the highest and the interval tells the two apart: one score
        alone, a small gap or a high accuracy, is easily had by a model whose probabilities are worth least."""
        nll = Column("nll", "NLL", "", -1)
        known = sorted((m for m in self.methods if math.isfinite(m.mean("nll"))), key=lambda m: m.mean("nll"))
        if len(known) < 2 or known[-1] is not best:
            return None
        found = self._difference(known[0], best, nll)
        return known[0].label if found is not None and found.low > 0 else None

    def _difference(self, a: ScoredVariant, b: ScoredVariant, column: Column) -> SeedDifference | None:
        """a minus b, more being better: seed by seed, or of fewer than two shared seeds the means over rows alone."""
        pairs = shared(a, b)
        sides = tuple(zip(*pairs, strict=True)) if len(pairs) > 1 else (a.runs, b.runs)
        scores = [self._scores(side, column.key) for side in sides]
        one, other = (each.signed(column.better) if each else None for each in scores)
        if one is None or other is None:
            return None
        if len(pairs) < 2:
            one, other = _mean(one), _mean(other)
        options, raised = self.options, column.key in INFLATED | CENTRED
        return paired_difference(one, other, options.level, options.seed, centred=raised)

    def _scores(self, runs: Sequence[Scored], key: str) -> SeedScores | None:
        """None of a score that cannot be drawn again."""
        drawn = [self._rows_of(run).get(key) for run in runs]
        known = [each for each in drawn if each is not None]
        if len(known) < len(drawn):
            return None
        return SeedScores(np.array([run.values[key] for run in runs]), np.stack(known))

    def _rows_of(self, run: Scored) -> dict[str, np.ndarray]:
        if id(run) not in self._drawn:
            options = self.options
            metrics = [name for name in self.metrics if name in run.values]
            side, names = run.side(after=False), list(run.values)
            (found,) = drawn_scores([side], names, metrics, options.bins, options.resamples, options.seed)
            self._drawn[id(run)] = found
        return self._drawn[id(run)]


def judges(tasks: Iterable[tuple[JudgedTask, Sequence[ScoredVariant]]], options: Options) -> list[Judge]:
    """One for each task; the first score of each is corrected together with those of the others."""
    made = [Judge(task, methods, options) for task, methods in tasks]
    p = [judge.headline_p() for judge in made]
    for judge, adjusted in zip(made, holm(p), strict=True):
        judge.adjusted = adjusted
    return made


def shared(a: ScoredVariant, b: ScoredVariant) -> list[tuple[Scored, Scored]]:
    """The runs of the two that have the same seed."""
    seeds = [(one, one.member.run.seed) for one in a.runs]
    return [
        (one, other) for one, seed in seeds for other in b.runs if seed is not None and other.member.run.seed == seed
    ]


def few_seeds(seeds: Iterable[int]) -> str:
    """What is to be known of comparisons of so few seeds; empty where all have enough."""
    found = set(seeds)
    if not found or min(found) >= FEWEST:
        return ""
    least = [f"{r} seeds cannot have a p below {2 / 2**r:g}" for r in sorted(found) if 2 <= r < FEWEST]
    told_of = "; ".join(least) or "one seed has no p at all"
    return (
        f"With fewer than {FEWEST} seeds nothing is bold: {told_of}. Where the interval over seeds and rows leaves out 0, "
        f"{ONLY} says so."
    )


def remark(verdicts: Iterable[Verdict]) -> str:
    """What is to be known of these verdicts together: too few seeds for a test, and none in common."""
    found = list(verdicts)
    alone = dict.fromkeys(" and ".join(sorted((v.best, v.second))) for v in found if v.found.seeds < 2)
    sentences = [few_seeds(verdict.found.seeds for verdict in found if verdict.found.seeds > 1)]
    if alone:
        sentences.append(
            f"Fewer than two seeds in common: {'; '.join(alone)}. There nothing is bold, and {ONLY} says that an interval "
            "over rows alone leaves out 0: it says nothing of other seeds."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _mean(scores: SeedScores) -> SeedScores:
    return SeedScores(scores.values.mean(keepdims=True), scores.drawn.mean(axis=0, keepdims=True))


def _told(found: SeedDifference) -> str:
    ends = f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    return f"{ends}, {found.seeds} seeds" if found.seeds > 1 else f"{ends}, rows alone"
