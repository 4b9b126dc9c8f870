"""Other ways to calibrate logits, to set beside the temperature: vector scaling, Platt scaling, isotonic regression.

Each is fitted as :func:`fit_temperature` is, and applied as a :class:`Temperature` is: logits go in, logits come out
whose softmax (for multi-label: sigmoid) is calibrated. Unlike a temperature they may change which class is the
likeliest, and so accuracy; they have a number or more for each class and need more rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.decisions import decisions, log_softmax, softmax, two_columns
from logitmix_hf.evaluation.predictions import REGRESSION, Predictions
from logitmix_hf.evaluation.scaling import Scaling
from logitmix_hf.evaluation.scores import evaluate_predictions
from logitmix_hf.evaluation.temperature import fit_halves, fit_temperature, second_half

SMALLEST = 1e-6
"""What isotonic regression gives a class that it would give nothing, so that the likelihood of no row is 0."""


class Calibrator(Protocol):
    """What :func:`fit_temperature` and the functions here return."""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits of the shape (N, C) for logits (N, C); a binary model with one output becomes two."""
        ...


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """logits * scale + shift, both (C,): a temperature and a bias for each class (Guo et al. 2017).

    nll_before, nll_after: of the fitted rows; the second is never above that of the best temperature.
    """

    scale: np.ndarray
    shift: np.ndarray
    nll_before: float
    nll_after: float

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """See :class:`Calibrator`."""
        return _columns(logits, len(self.scale)) * self.scale + self.shift

    @property
    def scaling(self) -> Scaling:
        """What can be folded into a model."""
        return Scaling(scale=self.scale, shift=self.shift)


def fit_vector_scaling(logits: ArrayLike, labels: ArrayLike) -> VectorScaling:
    """Scale and shift of each class that minimise the negative log-likelihood plus a pull towards the temperature.

    Without the pull the problem has no single minimum (all shifts may grow together) and for separable rows none at
    all. It is that of a normal prior of unit variance on each shift and on each scale, in units of 1/T around 1/T: it
    vanishes as rows grow, does not depend on the size of the logits, and makes the problem strictly convex: a class of few
    rows stays near the temperature. A scale is at least a hundredth of 1/T, so that no class is turned round and everything
    can be undone.

    Args:
        logits, labels: as :func:`fit_temperature`; multi-label: a scale and a shift for each label.

    Raises:
        UserError: as :func:`fit_temperature`.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    temperature = fit_temperature(logits, labels)
    y, several = np.asarray(labels), np.ndim(labels) == 2
    x = (np.asarray(logits, dtype=np.float64) if several else two_columns(logits)) / temperature.value
    truth = y.astype(np.float64) if several else np.eye(x.shape[1])[y.astype(np.int64)]
    rows, classes = x.shape
    units = rows * classes if several else rows  # decisions that a mean is taken over

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = parameters.reshape(2, classes)
        z = x * scale + shift
        if several:
            total, error = np.sum(np.logaddexp(0, z) - truth * z), expit(z) - truth
        else:
            log_p = log_softmax(z)
            total, error = -np.sum(log_p * truth), np.exp(log_p) - truth
        away = np.concatenate([scale - 1, shift])
        slope = np.concatenate([(error * x).sum(axis=0), error.sum(axis=0)]) + away
        return float(total + away @ away / 2) / units, slope / units

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    exact = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-9}
    bounds = [(0.01, None)] * classes + [(None, None)] * classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=exact).x
    scale, shift = found.reshape(2, classes)
    away = np.concatenate([scale - 1, shift])
    after = loss(found)[0] - float(away @ away / 2) / units
    return VectorScaling(scale / temperature.value, shift, temperature.nll_before, after)


@dataclass(frozen=True, eq=False)
class OneByOne:
    """Each class against all others: a rising curve from its log-odds to its probability; rows then sum to 1.

    curves: one for each class; (N,) log-odds to (N,) probabilities.
    several: multi-label: each label on its own, nothing has to sum to 1.
    """

    curves: tuple[Callable[[np.ndarray], np.ndarray], ...]
    several: bool = False

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """See :class:`Calibrator`."""
        odds = _log_odds(logits, self.several)
        p = np.stack([curve(column) for curve, column in zip(self.curves, odds.T, strict=True)], axis=1)
        p = np.clip(p, SMALLEST, 1 - SMALLEST)
        return np.log(p) - np.log1p(-p) if self.several else np.log(p / p.sum(axis=1, keepdims=True))


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> OneByOne:
    """A logistic curve a class, by scikit-learn's ``LogisticRegression`` without a penalty (Platt 1999).

    The targets are Platt's: (n + 1) / (n + 2) for the n rows of the class, 1 / (m + 2) for the m others, so that there
    is a best curve even where rows are separable. Arguments as :func:`fit_temperature`.
    """
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    def fit(odds: np.ndarray, own: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        count = own.sum()
        target = np.where(own, (count + 1) / (count + 2), 1 / (len(own) - count + 2))
        # Every row twice: as one of the class with its target as weight, and as none with the rest.
        twice = np.concatenate([odds, odds])[:, None]
        is_class = np.repeat([True, False], len(odds))
        model = LogisticRegression(C=math.inf, tol=1e-8, max_iter=1000)
        model.fit(twice, is_class, sample_weight=np.concatenate([target, 1 - target]))
        slope, intercept = np.ravel(model.coef_).item(), np.ravel(model.intercept_).item()
        return lambda at: expit(slope * at + intercept)

    return _one_by_one(logits, labels, fit)


def fit_isotonic(logits: ArrayLike, labels: ArrayLike) -> OneByOne:
    """The best rising curve a class, by scikit-learn's ``IsotonicRegression`` (Zadrozny and Elkan 2002).

    A class never gets less than 1e-6 or, multi-label, more than 1 - 1e-6. Arguments as :func:`fit_temperature`.
    """
    from sklearn.isotonic import IsotonicRegression

    def fit(odds: np.ndarray, own: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(odds, own).predict

    return _one_by_one(logits, labels, fit)


FITS: dict[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "temperature": fit_temperature,
    "vector": fit_vector_scaling,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
"""Every way of calibrating by the name that tables give it."""


def calibrated(p: Predictions, calibrator: Calibrator) -> Predictions:
    """The predictions with calibrated logits."""
    return replace(p, logits=calibrator.apply(p.logits))


def compare_methods(
    judged: Predictions, fitted: Predictions | None, metrics: Sequence[str] = (), bins: int = 15, seed: int = 31
) -> dict[str, dict[str, float]]:
    """What every way of :data:`FITS` makes of the scores, after the row ``uncalibrated``.

    Args:
        judged: the rows that are scored, with labels.
        fitted: the rows that are fitted on; None: each half of ``judged`` is scored as fitted on the other half.
        metrics, bins: as :func:`evaluate_predictions`. seed: of the halves.

    Raises:
        UserError: for a regression, or without labels.
    """
    if judged.problem == REGRESSION:
        raise UserError("A regression has no probabilities to calibrate.")
    rows = judged if fitted is None else fitted
    if judged.labels is None or rows.labels is None:
        raise UserError("These predictions have no labels (a test split?), so nothing can be calibrated on them.")
    scores = {"uncalibrated": evaluate_predictions(judged, metrics, bins)}
    for name, fit in FITS.items():
        if fitted is not None:
            after = calibrated(judged, fit(rows.logits, rows.labels))
        elif fit is fit_temperature:
            after = calibrated(judged, fit_halves(rows.logits, rows.labels, seed))
        else:
            after = replace(judged, logits=_crossed(judged, fit, seed))
        scores[name] = evaluate_predictions(after, metrics, bins)
    return scores


def _crossed(p: Predictions, fit: Callable[[np.ndarray, np.ndarray], Calibrator], seed: int) -> np.ndarray:
    assert p.labels is not None
    half, made = second_half(len(p), seed), np.empty(p.logits.shape)
    for rows in (half, ~half):
        made[rows] = fit(p.logits[~rows], p.labels[~rows]).apply(p.logits[rows])
    return made


def _one_by_one(
    logits: ArrayLike,
    labels: ArrayLike,
    fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]],
) -> OneByOne:
    decisions(logits, labels)  # shapes and values are checked there
    y, several = np.asarray(labels), np.ndim(labels) == 2
    odds = _log_odds(logits, several)
    own = y.astype(bool) if several else y[:, None] == np.arange(odds.shape[1])
    return OneByOne(tuple(fit(odds[:, k], own[:, k]) for k in range(odds.shape[1])), several)


def _log_odds(logits: ArrayLike, several: bool) -> np.ndarray:
    """(N, C) log p / (1 - p) of each class; multi-label logits are that already."""
    if several:
        return np.asarray(logits, dtype=np.float64)
    p, log_p = softmax(logits), log_softmax(logits)
    rows, top = np.arange(len(p)), p.argmax(axis=1)
    others = 1 - p
    # a p near 1 has lost the digits of 1 - p: there the others are added up
    rest = p.copy()
    rest[rows, top] = 0
    others[rows, top] = rest.sum(axis=1)
    return log_p - np.log(np.maximum(others, np.finfo(np.float64).tiny))


def _columns(logits: ArrayLike, classes: int) -> np.ndarray:
    z = np.asarray(logits, dtype=np.float64)
    return z if z.ndim == 2 and z.shape[1] == classes else two_columns(z)
