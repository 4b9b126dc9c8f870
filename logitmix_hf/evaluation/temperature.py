"""Temperature scaling: one number that divides all logits, fitted on rows that neither trained nor judge the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.decisions import decisions

Logits = TypeVar("Logits")

LOWEST, HIGHEST = 0.01, 100.0
"""Where the temperature is looked for."""

FEW = 50
"""Rows below which a temperature is told with a warning and its interval."""

WIDE = 4.0
"""What the ends of a temperature's interval may differ by, as a factor, before it is told with a warning."""

LEVEL = 0.95
"""Of the interval."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature T: logits / T are calibrated as well as one number can, and every argmax is unchanged.

    value:      T in [0.01, 100]; above 1 the model was over-confident, below 1 under-confident.
    nll_before: mean negative log-likelihood of the fitted rows at T = 1.
    nll_after:  the same at T; never above nll_before.
    bound:      "" or, where the best T lies at or beyond the end of the range, "lower" or "upper". At the lower end
                ``value`` stays 1: rows that are all right want every answer to be certain, which no model is. At the
                upper end it is 100: where logits say nothing of the labels, even odds are the honest answer.
    rows:       how many it was fitted on.
    low, high:  the 95 % interval of T by the likelihood ratio, within the range: the temperatures under which these
                rows are not much less likely than under the best. low <= T <= high, but for a T that stays 1.
    """

    value: float
    nll_before: float
    nll_after: float
    bound: str = ""
    rows: int = 0
    low: float = LOWEST
    high: float = HIGHEST

    def apply(self, logits: Logits) -> Logits:
        """The logits divided by T; an array or a tensor of any shape."""
        return logits / self.value  # type: ignore[operator]

    @property
    def warning(self) -> str:
        """One line when T should not be trusted: at a bound, of few rows, or hardly known; else empty."""
        if self.bound:
            why, value = {
                "lower": (
                    f"down to {LOWEST:g} more confidence is always better (are all of them right?)",
                    "stays at 1",
                ),
                "upper": (
                    "less confidence is always better (do the logits say nothing of the labels?)",
                    f"is {HIGHEST:g}",
                ),
            }[self.bound]
            return f"The temperature {value}: on the {self.rows} rows that it is fitted on {why}; fit it on more rows."
        if self.rows < FEW:
            return (
                f"The temperature {self.value:.3g} was fitted on only {self.rows} rows: its {LEVEL:.0%} interval is"
                f" {self.low:.3g} to {self.high:.3g}; give at least {FEW}, better several hundred."
            )
        if self.high > WIDE * self.low:
            return (
                f"The temperature {self.value:.3g} is hardly known: of {self.rows} rows its {LEVEL:.0%} interval is"
                f" {self.low:.3g} to {self.high:.3g} (do the logits say little of the labels?); fit it on more rows."
            )
        return ""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """The T that minimises the negative log-likelihood of ``labels`` under softmax(logits / T).

    Guo et al. (2017, arXiv:1706.04599). The likelihood is convex in 1/T, so its slope in 1/T never falls: the one place
    where it vanishes is bracketed in log T and found to the last digits in float64. T = 1 is kept unless another value
    is better, and where the likelihood still rises at 0.01.

    Args:
        logits: (N, C); (N,) or (N, 1) for a binary model with one output.
        labels: (N,) int in [0, C); or (N, C) of 0/1 for multi-label, where one T serves all N * C decisions. The
            interval takes decisions for independent, and is too narrow where those of one row are not.

    Raises:
        UserError: for no rows, shapes that do not fit, NaN or infinite logits, a label that is no class.
    """
    from scipy.stats import chi2

    z, y = decisions(logits, labels)
    margins = z - z[np.arange(len(z)), y][:, None]  # (N, C), 0 at the label: -log p = logsumexp(margins / T)

    def powers(log_t: float) -> tuple[np.ndarray, np.ndarray]:
        """The largest of margins / T, (N,), and exp(margins / T - it), (N, C)."""
        scaled = margins / math.exp(log_t)
        top = scaled.max(axis=1)
        return top, np.exp(scaled - top[:, None])

    def loss(log_t: float) -> float:
        top, e = powers(log_t)
        return float(np.mean(top + np.log(e.sum(axis=1))))

    def slope(log_t: float) -> float:
        """Of the loss in 1/T: the mean margin that the model expects."""
        _, e = powers(log_t)
        return float(np.mean((e * margins).sum(axis=1) / e.sum(axis=1)))

    low, high = math.log(LOWEST), math.log(HIGHEST)
    # Equals are settled in this order: stay at 1, name a bound, the rest.
    tried = [(0.0, ""), (low, "lower"), (high, "upper"), (_root(slope, low, high), "")]
    losses = [loss(log_t) for log_t, _ in tried]
    best = int(np.argmin(losses))
    log_t, bound = tried[best]
    limit = losses[best] + float(chi2.ppf(LEVEL, 1)) / (2 * len(z))
    ends = [end if loss(end) <= limit else _root(lambda at: loss(at) - limit, log_t, end) for end in (low, high)]
    if bound == "lower":
        log_t, best = tried[0][0], 0
    value, first, last = (_value(at) for at in (log_t, *ends))
    return Temperature(value, losses[0], losses[best], bound, len(np.asarray(labels)), first, last)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between two places; the end where it is nearer to 0 if it does not."""
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if at_low == 0 or at_high == 0 or (at_low > 0) == (at_high > 0):
        return low if abs(at_low) <= abs(at_high) else high
    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-13))  # type: ignore[arg-type]


def _value(log_t: float) -> float:
    """T of its logarithm; the ends of the range are met exactly."""
    ends = {math.log(LOWEST): LOWEST, math.log(HIGHEST): HIGHEST}
    return ends.get(log_t, math.exp(log_t))


@dataclass(frozen=True, eq=False)
class HalfTemperatures:
    """Two temperatures, each fitted on one half of the rows and meant for the other.

    first, second: fitted on the first and on the second half. Where one of them is at the lower bound, all rows
                   keep T = 1.
    half:          (N,) bool, True for the rows of the second half.
    seed:          of the shuffle that halved them.
    """

    first: Temperature
    second: Temperature
    half: np.ndarray
    seed: int

    @property
    def bound(self) -> str:
        """That of a half, the lower one before the upper, or empty."""
        return min(self.first.bound, self.second.bound, key=("lower", "upper", "").index)

    @property
    def value(self) -> float:
        """The mean of the two."""
        return 1.0 if self.bound == "lower" else (self.first.value + self.second.value) / 2

    @property
    def each(self) -> np.ndarray:
        """(N,) float64: for each row the temperature of the half that it is not in."""
        if self.bound == "lower":
            return np.ones(len(self.half))
        return np.where(self.half, self.first.value, self.second.value)

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """(N, C) logits of all the rows, in their order, each divided by the temperature that never saw it."""
        return logits / self.each.astype(logits.dtype)[:, None]

    @property
    def warning(self) -> str:
        """That of one half; a bound before few rows."""
        at_bound_first = sorted((self.first, self.second), key=lambda found: not found.bound)
        told = next((found.warning for found in at_bound_first if found.warning), "")
        return told and f"By halves, one for the other (the model gets their mean, {self.value:.3g}): t{told[1:]}"


def second_half(rows: int, seed: int = 31) -> np.ndarray:
    """(N,) bool: which rows a shuffle by ``seed`` puts into the second half; of an odd number the first half has one
    more. The protocol is MixMo's (Rame et al. 2021: two halves of the test split, by seed 31, each judged by the other's
    temperature); the halves are not, since NumPy's generator here shuffles otherwise than theirs.

    Raises:
        UserError: for fewer than two rows.
    """
    if rows < 2:
        raise UserError(f"Two halves need at least two rows, got {rows}.")
    half = np.zeros(rows, dtype=bool)
    half[np.random.default_rng(seed).permutation(rows)[(rows + 1) // 2 :]] = True
    return half


def fit_halves(logits: ArrayLike, labels: ArrayLike, seed: int = 31) -> HalfTemperatures:
    """Fit on one half and judge the other, both ways round: no row is judged by a temperature that saw it.

    Pitfalls of in-domain uncertainty (Ashukha et al. 2020, arXiv:2002.06470) and MixMo do so. Arguments as
    :func:`fit_temperature`.
    """
    z, y = np.asarray(logits), np.asarray(labels)
    half = second_half(len(z), seed)
    return HalfTemperatures(fit_temperature(z[~half], y[~half]), fit_temperature(z[half], y[half]), half, seed)
