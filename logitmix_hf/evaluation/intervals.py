"""How sure the numbers themselves are: bootstrap intervals of every score, and of the difference between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.evaluation.binning import Bins
from logitmix_hf.evaluation.chance import ece_by_chance
from logitmix_hf.evaluation.coverage import answered
from logitmix_hf.evaluation.predictions import REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.resampled_scores import drawn_scores
from logitmix_hf.evaluation.scores import review

INFLATED = frozenset({"ece", "oe", "mce", "ece_mass", "ece_classwise", "brier_reliability", "brier_resolution"})
"""Scores that noise can only raise: of few rows they are too high, and of a resample, which repeats rows, higher yet."""
CENTRED = frozenset({"rmsce_debiased"})
"""Scores without that bias, whose resamples have it all the same."""
PROPORTIONS = {"accuracy": 1.0, "top5_accuracy": 1.0, "accuracy_at_80": 0.8}
"""Scores that are a count of right rows, and the share of the rows that is counted."""
CHANCE = {"ece": "width", "ece_mass": "mass"}
"""Scores that are known to be above 0 by chance, with their bins."""


@dataclass(frozen=True)
class Interval:
    """A score and where it lies at the level of confidence that was asked for; low <= value <= high.

    value: the score, as ``review`` gives it.
    low, high: NaN where the score is NaN.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """A score of one run minus the same score of another, on the same rows.

    p: two-sided p-value of "there is no difference", in [2 / (resamples + 1), 1]; NaN where the value is.
    """

    p: float


def bootstrap(
    p: Predictions,
    metrics: Sequence[str] = (),
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """An interval of each number of ``review(p, metrics, bins)``, in its order.

    Rows are drawn with replacement (a row with all of its labels, where it has several). The ends are those of Efron's
    percentile interval, with these exceptions: scores that noise can only raise (``INFLATED``) are mirrored at their
    value (the basic interval), because a resample shows how much too high the value itself is; rmsce_debiased is
    centred at its value; where every row is right, or none, every resample is so too, and the interval of
    ``PROPORTIONS`` is the exact one of Clopper and Pearson (1934) instead; ece and ece_mass reach down to 0 when a
    perfectly calibrated model shows as much by chance. ece_by_chance has the range where the ECE of such a model lies.

    Args:
        p: predictions with labels, N >= 1.
        metrics, bins: as for ``review``.
        resamples: how many, at least 1; 1,000 tell the ends of a 95 % interval to about a tenth of its width.
        seed: the same arguments give the same intervals, whatever else was drawn.
        level: of confidence, in (0, 1).

    Raises:
        UserError: as ``review``, or for a number outside its range.
    """
    _check(resamples, level)
    values = review(p, metrics, bins)
    drawn = drawn_scores([p], list(values), metrics, bins, resamples, seed)[0]
    found = {}
    for name, value in values.items():
        if name != "ece_by_chance":
            found[name] = Interval(value, *_ends(value, _honest(name, value, drawn[name]), level, _range(name)))
        if name in PROPORTIONS and p.problem == SINGLE and found[name].low == found[name].high in (0.0, 1.0):
            found[name] = exact(value, answered(len(p), PROPORTIONS[name]), level)
    if p.problem == REGRESSION:
        return found
    confidence, _ = p.confidence()
    for name, scheme in CHANCE.items():
        chance = ece_by_chance(confidence, bins, resamples, seed, scheme)
        if values[name] <= chance.point(level):
            found[name] = Interval(values[name], 0.0, found[name].high)
        if name == "ece":
            found["ece_by_chance"] = Interval(values["ece_by_chance"], *quantiles(chance.draws, level))
    return {name: found[name] for name in values}


def compare(
    a: Predictions,
    b: Predictions,
    metrics: Sequence[str] = (),
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Each number of run ``a`` minus that of run ``b``, both judged on the same rows: is the gain real?

    Both are resampled together, so that what makes a row hard for both does not count as noise. The interval has the
    percentiles of the resampled differences, which for scores that noise raises are first centred at the difference:
    most of what noise adds to the one it adds to the other. ``p`` belongs to it: below 1 - level where the interval
    leaves out 0. ece_by_chance, which is no property of the labels, is left out. Rows may stand in another order; they
    are matched by ``idx``.

    One training run each says nothing of other seeds: this asks whether these two models differ on rows like these.

    Raises:
        UserError: when the rows, labels, problem or classes of the two differ; or as ``bootstrap``.
    """
    _check(resamples, level)
    a, b = _paired(a, b)
    left, right = review(a, metrics, bins), review(b, metrics, bins)
    names = [name for name in left if name in right and name != "ece_by_chance"]
    drawn = drawn_scores([a, b], names, metrics, bins, resamples, seed)
    found = {}
    for name in names:
        value = left[name] - right[name]
        honest = drawn[0][name] - drawn[1][name]
        if name in INFLATED | CENTRED:  # mirrored, p would be below .05 in up to 17 % of pairs that do not differ
            honest = _centred(value, honest)
        found[name] = Difference(value, *_ends(value, honest, level), p=_p_value(value, honest))
    return found


def bin_intervals(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each (..., M) in [0, 1]: Wilson's (1927) interval of the accuracy of each bin; NaN in an empty bin.

    Raises:
        UserError: unless level is in (0, 1).
    """
    from scipy.special import ndtri

    _check(1, level)
    z, n = float(ndtri((1 + level) / 2)), np.where(bins.count > 0, bins.count, np.nan)
    centre = (bins.accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(bins.accuracy * (1 - bins.accuracy) / n + z**2 / (4 * n**2))
    return np.clip(centre - reach, 0.0, 1.0), np.clip(centre + reach, 0.0, 1.0)


def exact(value: float, rows: int, level: float = 0.95) -> Interval:
    """A share of independent rows with the interval of Clopper and Pearson (Biometrika 1934), which is never empty."""
    from scipy.stats import binomtest

    ends = binomtest(round(value * rows), rows).proportion_ci(level, method="exact")
    return Interval(value, float(ends.low), float(ends.high))


def _check(resamples: int, level: float) -> None:
    check_number("resamples", resamples, low=1)
    if resamples != int(resamples):
        raise UserError(f"resamples must be a whole number of at least 1, got {resamples!r}.")
    check_number("level", level, low=0, high=1, open_low=True)
    if level == 1:
        raise UserError("level must be below 1, such as 0.95: an interval that is always right says nothing.")


def _honest(name: str, value: float, drawn: np.ndarray) -> np.ndarray:
    """The resampled scores (R,) as their quantiles shall be the ends of the interval."""
    if name in INFLATED:
        return 2 * value - drawn
    return _centred(value, drawn) if name in CENTRED else drawn


def _centred(value: float, drawn: np.ndarray) -> np.ndarray:
    return drawn - np.nanmean(drawn) + value if np.isfinite(drawn).any() else drawn


def _range(name: str) -> tuple[float, float]:
    """Between what the score can be: a mirrored resample may lie outside. Others are drawn from within."""
    if name not in INFLATED | CENTRED or name == "brier_resolution":
        return -np.inf, np.inf
    return 0.0, 2.0 if name == "brier_reliability" else 1.0


def _ends(
    value: float, drawn: np.ndarray, level: float, within: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """The ends of the interval, kept ``within``; they always hold the value itself."""
    low, high = quantiles(drawn, level)
    return min(max(low, within[0]), value), max(min(high, within[1]), value)


def quantiles(drawn: np.ndarray, level: float) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _p_value(value: float, drawn: np.ndarray) -> float:
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(known):
        return float("nan")
    beyond = min(np.sum(known <= 0), np.sum(known >= 0))
    return min(1.0, 2.0 * (float(beyond) + 1) / (len(known) + 1))


def _paired(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions]:
    """The same rows of both, in the order of their idx."""
    if a.problem != b.problem or a.logits.shape[1] != b.logits.shape[1]:
        kinds = [f"{p.problem} of {p.logits.shape[1]} outputs" for p in (a, b)]
        raise UserError(f"Runs of different kinds cannot be compared: {kinds[0]} against {kinds[1]}.")
    if a.label_names and b.label_names and a.label_names != b.label_names:
        raise UserError(f"The classes of the two runs differ: {a.label_names} against {b.label_names}.")
    a, b = a.by_idx(), b.by_idx()
    if not np.array_equal(a.idx, b.idx):  # type: ignore[arg-type]
        raise UserError(
            f"A paired comparison needs the same rows: the two runs have {len(a)} and {len(b)} rows, of which "
            f"{len(np.intersect1d(a.idx, b.idx))} are the same by idx."  # type: ignore[arg-type]
        )
    if a.labels is not None and b.labels is not None:
        differ = np.flatnonzero((a.labels != b.labels).reshape(len(a), -1).any(axis=1))
        if len(differ):
            row = differ[0]
            raise UserError(
                f"A paired comparison needs the same labels: of row {a.idx[row]} they are "  # type: ignore[index]
                f"{a.labels[row]} and {b.labels[row]} ({len(differ)} such rows)."
            )
    return a, b
