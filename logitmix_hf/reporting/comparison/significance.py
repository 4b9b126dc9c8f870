"""Is the best really the best? A paired bootstrap on the same rows, between the best method and the runner-up.

A method may have several seeds. The means over the seeds say which is best and which comes next. The bootstrap knows of
rows alone, and another seed moves a score as well; so every run of the best is set against every run of the runner-up,
and all of these pairs must agree: the interval of each difference lies on the better side of 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.evaluation import Difference, compare
from logitmix_hf.reporting.comparison.columns import Column
from logitmix_hf.reporting.comparison.scores import Options, Scored, ScoredVariant

GAPS = ("ece", "oe", "ece_by_chance", "ece_mass", "ece_classwise", "mce", "rmsce_debiased", "brier_reliability")
"""Scores of calibration alone, which say nothing of how well rows are told apart."""


@dataclass(frozen=True)
class Verdict:
    """Of one score.

    Attributes:
        best: label of the best method.
        supported: whether the test supports it against the runner-up.
        words: what was found, for a reader.
    """

    best: str
    supported: bool
    words: str


class Judge:
    """Decides for the methods of one task; each pair of runs is resampled once for all scores."""

    def __init__(self, methods: Sequence[ScoredVariant], metrics: Sequence[str], options: Options) -> None:
        self.methods, self.metrics, self.options = methods, metrics, options
        self._found: dict[tuple[int, int], dict[str, Difference]] = {}

    def verdict(self, column: Column) -> Verdict | None:
        """None where nothing is to be decided: no better and worse, fewer than two methods, no bootstrap, a tie."""
        if not column.better or not column.tested or not self.options.resamples:
            return None
        known = [method for method in self.methods if math.isfinite(method.mean(column.key))]
        if len(known) < 2:
            return None
        best, second = sorted(known, key=lambda method: -column.better * method.mean(column.key))[:2]
        if best.mean(column.key) == second.mean(column.key):
            return None
        pairs = [self._difference(one, other, column.key) for one in best.runs for other in second.runs]
        found = [pair for pair in pairs if pair is not None]
        won = [min(column.better * pair.low, column.better * pair.high) > 0 for pair in found]
        supported = bool(won) and all(won) and len(found) == len(pairs)
        if len(pairs) == 1 and found:
            (one,) = found
            measured = f"difference {one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}], p = {one.p:.3f}"
        else:
            measured = f"{sum(won)} of {len(pairs)} pairs of runs"
        support = "supported" if supported else "not supported"
        words = f"{best.label} before {second.label} {support} ({measured})"
        if supported and column.key in GAPS and (rival := self._says_more(best)):
            supported = False
            words += f"; not in bold: its NLL is the worst of all, and the test supports {rival} before it there"
        return Verdict(best.label, supported, words)

    def _says_more(self, best: ScoredVariant) -> str | None:
        """The method of the lowest NLL, where ``best`` has the highest and the test supports the one before it: small gaps
        between confidence and accuracy are easily had by a model that tells rows apart less."""
        known = sorted((m for m in self.methods if math.isfinite(m.mean("nll"))), key=lambda m: m.mean("nll"))
        if len(known) < 2 or known[-1] is not best:
            return None
        pairs = [self._difference(one, other, "nll") for one in known[0].runs for other in best.runs]
        return known[0].label if all(pair is not None and max(pair.low, pair.high) < 0 for pair in pairs) else None

    def _difference(self, a: Scored, b: Scored, key: str) -> Difference | None:
        place = (id(a), id(b))
        if place not in self._found:
            options = self.options
            self._found[place] = compare(
                a.side(after=False),
                b.side(after=False),
                [name for name in self.metrics if name in a.values and name in b.values],
                options.bins,
                options.resamples,
                options.seed,
                options.level,
            )
        return self._found[place].get(key)
