"""One method against another over several seeds, judged on the same rows: how large the difference is, and how sure.

Two things move a score: which rows judge it and which seed trained it. An interval over rows alone speaks of two models,
not of two methods; one over seeds alone takes these rows for all there are. Here both are drawn (Bouthillier et al., MLSys
2021, arXiv:2103.03098). docs/statistics.md tells every number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from logitmix_hf.evaluation.intervals import Interval, quantiles

EXACT = 13
"""Seeds up to which all 2^R sign flips are counted; beyond it 10,000 are drawn."""
MEANINGFUL = 0.75
"""What the upper end of P(A>B) has to pass for a difference that matters (Bouthillier et al., 2021, their gamma)."""
FEWEST = 6
"""Seeds from which an exact test can find p < .05 at all: 2 / 2^5 is .0625, 2 / 2^6 is .031."""


@dataclass(frozen=True, eq=False)
class SeedScores:
    """One score of one method, seed by seed.

    Attributes:
        values: (R,), of the rows as they are.
        drawn: (R, B), of B draws of rows with replacement, the same draws for every run that it is compared with.
    """

    values: np.ndarray
    drawn: np.ndarray

    def signed(self, sign: int) -> SeedScores:
        """With -1 for scores of which less is better, so that more is better."""
        return SeedScores(sign * self.values, sign * self.drawn)


@dataclass(frozen=True)
class SeedDifference(Interval):
    """The mean over paired seeds of A minus B, with its interval over seeds and rows.

    Attributes:
        seeds: how many pairs, R.
        p: exact two-sided sign-flip test of the R differences, in [2 / 2^R, 1]; NaN of fewer than two.
        won: P(A>B), the share of pairs that A wins, ties half, with its interval over seeds and rows.
        resolvable: the smallest true difference that such an interval would tell from 0 four times of five.
    """

    seeds: int
    p: float
    won: Interval
    resolvable: float

    @property
    def off_zero(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def supported(self, p: float) -> bool:
        """Whether A is better by the interval and by the test. p: that of the test, corrected where it counts."""
        return self.low > 0 and p < 0.05

    @property
    def interval_only(self) -> bool:
        """Whether A is better by an interval of too few seeds for the test to find anything."""
        return self.low > 0 and self.seeds < FEWEST

    @property
    def meaningful(self) -> bool:
        """Bouthillier et al.'s verdict: A wins more often than not, and may well win three times of four."""
        return self.won.low > 0.5 and self.won.high > MEANINGFUL


def paired_difference(
    a: SeedScores, b: SeedScores, level: float = 0.95, seed: int = 0, *, centred: bool = False
) -> SeedDifference:
    """A minus B over seeds and rows.

    Draw b takes R of the R pairs and the rows of draw b, both with replacement; rows are the same for all runs of both
    methods. R seeds drawn from themselves vary less than seeds do, by (R - 1) / R, and the quantiles of so few are not
    the normal ones. So what the seeds add to a draw is widened by sqrt(R / (R - 1)) t / z, with the quantiles of Student's
    t of R - 1 degrees of freedom and of the normal distribution, as Hesterberg (The American Statistician, 2015, section
    5.3) does for a bootstrap of one sample. Without it an interval of three seeds leaves out 0 in up to a quarter of the
    cases where there is no difference (docs/RELIABILITY.md). Of one pair rows alone are drawn.

    Args:
        a, b: the same R seeds in the same order, and the same draws of rows.
        level: of confidence, in (0, 1).
        seed: of the draws of seeds.
        centred: move the draws so that their mean is the difference, for scores that noise raises.
    """
    from scipy.special import ndtri

    difference, drawn = a.values - b.values, a.drawn - b.drawn
    pairs, draws = drawn.shape
    value = float(difference.mean())
    if not math.isfinite(value):
        return SeedDifference(math.nan, math.nan, math.nan, pairs, math.nan, Interval(*[math.nan] * 3), math.nan)
    shares = np.random.default_rng([seed, 1]).multinomial(pairs, np.full(pairs, 1 / pairs), size=draws).T / pairs
    found = (shares * drawn).sum(axis=0)
    if centred and np.isfinite(found).any():
        found = found - np.nanmean(found) + value
    found = found + (widening(pairs, level) - 1) * (difference @ shares - value)
    low, high = quantiles(found, level)
    won = (shares * _wins(drawn)).sum(axis=0)
    share = float(_wins(difference).mean())
    ends = quantiles(won, level)
    return SeedDifference(
        value,
        min(low, value),
        max(high, value),
        pairs,
        sign_flip_p(difference),
        Interval(share, min(ends[0], share), max(ends[1], share)),
        (high - low) / 2 * (1 + float(ndtri(0.8) / ndtri((1 + level) / 2))),  # so much is found four times of five
    )


def widening(seeds: int, level: float = 0.95) -> float:
    """What makes R seeds drawn from themselves vary as R new ones would: above 1, and 1 for many; 1 for a single one."""
    from scipy.special import ndtri, stdtrit

    if seeds < 2:
        return 1.0
    upper = (1 + level) / 2
    return float(math.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, upper) / ndtri(upper))


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p of "the differences (R,) are as often negative as positive, size by size"; NaN of fewer than two.

    Exact over the 2^R ways to flip their signs up to ``EXACT`` seeds, so that it cannot be below 2 / 2^R.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2 or not np.isfinite(differences).all():
        return math.nan
    flips = 2 ** len(differences) if len(differences) <= EXACT else 10_000
    found = permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=flips, rng=0
    )
    return float(found.pvalue)


def _wins(differences: np.ndarray) -> np.ndarray:
    """1 where A is above B, one half where they are equal but for rounding; NaN stays."""
    return 0.5 * (1 + np.sign(np.where(np.abs(differences) < 1e-12, 0.0, differences)))
