"""Several methods over several tasks: ranks, and the tests that Demšar (JMLR 7, 2006) asks for; SciPy does the sums.

No Nemenyi test after Friedman's: its verdict on two methods hangs on which others are in the table (Benavoli, Corani and
Mangili, JMLR 17, 2016). Every method is set against the baseline alone, with Holm's correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_TASKS = 6
"""Tasks below which there are ranks and no tests: Wilcoxon's least two-sided p of five is 2 / 2^5 = .0625."""


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding below each level (Holm, 1979), in the given order.

    The k-th smallest of m is multiplied by m - k + 1 and never below those before it. NaN is no test: it stays NaN and is
    not counted.

    >>> [round(q, 6) for q in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [math.nan] * len(p), 0.0
    order = sorted((index for index, value in enumerate(p) if not math.isnan(value)), key=lambda index: p[index])
    for done, index in enumerate(order):
        highest = min(1.0, max(highest, p[index] * (len(order) - done)))
        adjusted[index] = highest
    return adjusted


def ranks(scores: np.ndarray) -> np.ndarray:
    """(T, k) ranks of k methods on each of T tasks, 1 the best, equals sharing their mean. scores: (T, k), more is better."""
    from scipy.stats import rankdata

    return rankdata(-np.asarray(scores, dtype=np.float64), axis=1)


def borda(scores: np.ndarray) -> np.ndarray:
    """(k,) points: on each task one for every method that is beaten, a half for every equal one. scores: as ``ranks``."""
    placed = ranks(scores)
    return (placed.shape[1] - placed).sum(axis=0)


@dataclass(frozen=True)
class Friedman:
    """Whether k methods differ at all over T tasks.

    Attributes:
        chi2: Friedman's statistic.
        f: Iman and Davenport's (1980) (T - 1) chi2 / (T (k - 1) - chi2), less conservative; inf where all tasks agree.
        df: (k - 1, (k - 1) (T - 1)).
        p: of F.
    """

    chi2: float
    f: float
    df: tuple[int, int]
    p: float


def iman_davenport(scores: np.ndarray) -> Friedman | None:
    """Friedman's test in Iman and Davenport's form; None of fewer than three methods or two tasks. scores: as ``ranks``."""
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare

    tasks, methods = np.shape(scores)
    if methods < 3 or tasks < 2:
        return None
    df = (methods - 1, (methods - 1) * (tasks - 1))
    if (np.ptp(scores, axis=1) == 0).all():  # nothing but ties
        return Friedman(0.0, 0.0, df, 1.0)
    chi2 = float(friedmanchisquare(*np.asarray(scores, dtype=np.float64).T).statistic)
    left = tasks * (methods - 1) - chi2
    f = (tasks - 1) * chi2 / left if left > 1e-9 * chi2 else math.inf
    return Friedman(chi2, f, df, float(f_distribution.sf(f, *df)))


def wilcoxon_p(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of two methods over (T,) tasks; 1 where all are equal."""
    from scipy.stats import wilcoxon

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return 1.0 if not difference.any() else float(wilcoxon(difference).pvalue)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class SignedRank:
    """How probable it is that the next task has A ahead, both alike, or B ahead; the three add up to 1."""

    a: float
    alike: float
    b: float


def bayesian_signed_rank(
    a: np.ndarray, b: np.ndarray, rope: float, draws: int = 10_000, seed: int = 0, strength: float = 0.5
) -> SignedRank:
    """Benavoli, Corani, Demšar and Zaffalon's (JMLR 18, 2017, section 4.2) test of two methods over (T,) tasks.

    A Dirichlet process whose one prior observation stands at no difference.

    Args:
        a, b: (T,), more is better.
        rope: differences up to this size are alike, in the unit of the scores.
        draws: of the Dirichlet weights. strength: of the prior observation.
    """
    z = np.append(0.0, np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))
    pairs = z[:, None] + z
    above, below = (pairs > 2 * rope).astype(float), (pairs < -2 * rope).astype(float)
    weights = np.random.default_rng(seed).dirichlet([strength, *np.ones(len(z) - 1)], draws)
    left, right = (((weights @ each) * weights).sum(axis=1) for each in (above, below))
    states = np.stack([left, 1 - left - right, right], axis=1)
    # Each draw is a vote for the most probable of the three, equals sharing it.
    best = np.isclose(states, states.max(axis=1, keepdims=True))
    votes = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return SignedRank(*map(float, votes))
