"""How often a study calls two methods different that are not, over simulated studies without any difference.

    python -m benchmarks.null_studies --studies 2000

A run's score on a row is the sum of four normal effects: the row, the method on that row, the seed, and what is left. The
two methods have the same distribution, seeds and rows are drawn anew for every study, and what is counted is how often the
interval leaves out 0, how often the sign-flip test has p < .05, and how often both do, which is what is printed in bold.

    python -m benchmarks.null_studies --report --studies 1000

does the same for the best of several methods against its runner-up, as ``logitmix report`` marks them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from logitmix_hf.evaluation import paired
from logitmix_hf.evaluation.paired import SeedScores, paired_difference
from logitmix_hf.evaluation.resampling import weights_of

REGIMES = {"rows": (1.0, 0.01), "rows and seeds": (1.0, 0.08), "seeds": (0.2, 0.5)}
"""What moves the mean: the deviation of a method over rows, and of its seeds. What is left of each row has .5."""
KINDS = ("mean", "share right")
"""Scores: of the row's number itself, as NLL is one, and of whether it is above 0, as accuracy is."""


@dataclass
class Counts:
    """Out of ``studies``."""

    studies: int = 0
    interval: int = 0
    p: int = 0
    bold: int = 0

    def add(self, interval: bool, p: bool) -> None:
        self.studies += 1
        self.interval += interval
        self.p += p
        self.bold += interval and p


def null_scores(
    rng: np.random.Generator, seeds: int, rows: int, regime: str, kind: str, methods: int = 2
) -> Iterator[np.ndarray]:
    """(R, N) scores of each of the methods, which do not differ but by chance."""
    by_row, by_seed = REGIMES[regime]
    row = rng.normal(0.5, 1.0, rows)
    for _ in range(methods):
        found = row + by_row * rng.normal(size=rows)
        found = found + by_seed * rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=(seeds, rows))
        yield (found > 0).astype(float) if kind == "share right" else found


def count(
    seeds: int, regime: str, kind: str, studies: int, draws: int = 1000, rows: int = 200, seed: int = 0
) -> Counts:
    """Simulate so many studies of two methods."""
    rng, counts = np.random.default_rng([seed, seeds]), Counts()
    weights = np.empty(0)
    for number in range(studies):
        if number % 20 == 0:  # fresh draws of rows now and then
            weights = weights_of(rng.integers(rows, size=(rows, draws))) / rows
        a, b = (SeedScores(x.mean(axis=1), x @ weights) for x in null_scores(rng, seeds, rows, regime, kind))
        found = paired_difference(a, b, seed=number)
        counts.add(found.off_zero, found.p < 0.05)
    return counts


def best_of(methods: int, seeds: int, regime: str, studies: int, draws: int = 1000, rows: int = 200) -> tuple[int, int]:
    """How often the best has the mark of both tests, and how often that of the interval alone."""
    rng, bold, only = np.random.default_rng([seeds, methods]), 0, 0
    weights = np.empty(0)
    for number in range(studies):
        if number % 20 == 0:
            weights = weights_of(rng.integers(rows, size=(rows, draws))) / rows
        scores = sorted(null_scores(rng, seeds, rows, regime, "mean", methods), key=lambda x: -x.mean())
        a, b = (SeedScores(x.mean(axis=1), x @ weights) for x in scores[:2])
        found = paired_difference(a, b, seed=number)
        bold += found.supported(found.p)
        only += found.interval_only
    return bold, only


def main() -> None:
    parser = argparse.ArgumentParser(description="False findings of studies without any difference.")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--plain", action="store_true", help="intervals without the widening for few seeds")
    parser.add_argument("--report", action="store_true", help="the best of two and of five, as a report marks it")
    settings = parser.parse_args()
    if settings.plain:
        paired.widening = lambda *_: 1.0
    if settings.report:
        print("| methods | seeds | what varies | bold | interval alone |\n|---|---|---|---|---|")
        for methods in (2, 5):
            for seeds in (1, 3, 6):
                for regime in REGIMES:
                    rates = (100 * one / settings.studies for one in best_of(methods, seeds, regime, settings.studies))
                    print(f"| {methods} | {seeds} | {regime} | {' | '.join(f'{r:.1f} %' for r in rates)} |", flush=True)
        return
    print("| seeds | what varies | score | interval off 0 | p < .05 | bold |\n|---|---|---|---|---|---|")
    for seeds in (3, 6, 10):
        for regime in REGIMES:
            for kind in KINDS:
                found = count(seeds, regime, kind, settings.studies)
                rates = (f"{100 * one / found.studies:.1f} %" for one in (found.interval, found.p, found.bold))
                print(f"| {seeds} | {regime} | {kind} | {' | '.join(rates)} |", flush=True)


if __name__ == "__main__":
    main()
