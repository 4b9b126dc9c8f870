"""The task's metrics of many resamples at once, from weights as in ``resampling.py``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.resampling import Measure, cumulated, means, sums


def _mean(row_value: Callable[[Predictions], np.ndarray]) -> Callable[[Predictions, str], Measure]:
    return lambda p, name: means({name: row_value(p)})


def _found(p: Predictions) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Weights to what each class counts, (C, B) each: found, predicted, and there."""
    if p.problem == MULTI:
        predicted, there = p.predictions.astype(np.float64), np.asarray(p.labels, dtype=np.float64)
        both = predicted * there
        return lambda weights: (both.T @ weights, predicted.T @ weights, there.T @ weights)
    classes, labels = p.logits.shape[1], np.asarray(p.labels)
    hit = (p.predictions == labels)[:, None]
    of_label, of_prediction = labels[:, None], p.predictions[:, None]
    counts = sums(of_label, classes, hit), sums(of_prediction, classes), sums(of_label, classes)
    return lambda weights: (counts[0](weights), counts[1](weights), counts[2](weights))


def _f1(average: str) -> Callable[[Predictions, str], Measure]:
    def of(p: Predictions, name: str) -> Measure:
        found = _found(p)

        def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
            hits, predicted, there = found(weights)
            if average == "micro":
                hits, predicted, there = (each.sum(axis=0, keepdims=True) for each in (hits, predicted, there))
            elif average == "binary":
                hits, predicted, there = hits[1:], predicted[1:], there[1:]
            either = predicted + there
            f1 = 2 * hits / np.maximum(either, 1)
            # scikit-learn leaves out a class that is neither there nor predicted, but never a label of several
            occurs = either > 0 if p.problem == SINGLE and average == "macro" else np.ones_like(either)
            return {name: f1.sum(axis=0) / occurs.sum(axis=0)}

        return measure

    return of


def _matthews(p: Predictions, name: str) -> Measure:
    found = _found(p)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        hits, predicted, there = found(weights)
        rows = len(weights)
        covariance = rows * hits.sum(axis=0) - (predicted * there).sum(axis=0)
        spread = [rows**2 - (each**2).sum(axis=0) for each in (predicted, there)]
        scale = np.sqrt(spread[0] * spread[1])
        return {name: np.divide(covariance, scale, out=np.zeros(len(scale)), where=scale > 0)}

    return measure


def _pearson(p: Predictions, name: str) -> Measure:
    x, y = (values - values.mean() for values in (p.predictions, np.asarray(p.labels)))
    moments = np.stack([x, y, x * x, y * y, x * y])
    return lambda weights: {name: _correlation(*(moments @ weights / len(weights)))}


def _spearman(p: Predictions, name: str) -> Measure:
    ranks_of = [_ranks(np.asarray(values)) for values in (p.predictions, p.labels)]

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        x, y = (ranks(weights) for ranks in ranks_of)
        mean = (weights * x).sum(axis=0), (weights * y).sum(axis=0)
        x, y = x - mean[0] / len(weights), y - mean[1] / len(weights)
        moments = [(weights * each).sum(axis=0) / len(weights) for each in (x, y, x * x, y * y, x * y)]
        return {name: _correlation(*moments)}

    return measure


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Weights to the ranks (N, B) of each row within each resample, equals sharing their mean rank."""
    distinct, group = np.unique(values, return_inverse=True)
    size_of = sums(group[:, None], len(distinct))

    def ranks(weights: np.ndarray) -> np.ndarray:
        size = size_of(weights)
        return (cumulated(size)[:-1] + (size + 1) / 2)[group]

    return ranks


def _correlation(x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Of means of x, y and their products, (B,) each; NaN where either is constant but for rounding."""
    variance_x, variance_y = xx - x * x, yy - y * y
    varies = (variance_x > 1e-12 * xx) & (variance_y > 1e-12 * yy)
    scale = np.sqrt(np.where(varies, variance_x * variance_y, 1.0))
    return np.where(varies, np.clip((xy - x * y) / scale, -1.0, 1.0), np.nan)


def _rmse(p: Predictions, name: str) -> Measure:
    squares = _mean(lambda p: (p.predictions - np.asarray(p.labels)) ** 2)(p, name)
    return lambda weights: {name: np.sqrt(squares(weights)[name])}


def _r2(p: Predictions, name: str) -> Measure:
    """1 less the squared error over that of the mean of the resample's labels; NaN where these are constant."""
    labels = np.asarray(p.labels, dtype=float)
    y = labels - labels.mean()
    moments = np.stack([(p.predictions - labels) ** 2, y, y * y])

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        error, mean, square = moments @ weights / len(weights)
        variance = square - mean * mean
        varies = variance > 1e-12 * square
        return {name: np.where(varies, 1 - error / np.where(varies, variance, 1.0), np.nan)}

    return measure


def _right(p: Predictions) -> np.ndarray:
    return (p.predictions == p.labels).reshape(len(p), -1).all(axis=1)


def _among_five(p: Predictions) -> np.ndarray:
    best = np.argsort(p.logits, axis=1, kind="stable")[:, ::-1][:, :5]  # of equals the last first, as scikit-learn does
    return (best == np.asarray(p.labels)[:, None]).any(axis=1)


MEASURES: dict[str, dict[str, Callable[[Predictions, str], Measure]]] = {
    SINGLE: {
        "accuracy": _mean(_right),
        "f1": _f1("binary"),
        "f1_macro": _f1("macro"),
        "f1_micro": _mean(_right),  # each row is one prediction of one label: true positives are the right ones
        "matthews_correlation": _matthews,
        "top5_accuracy": _mean(_among_five),
    },
    MULTI: {"f1_micro": _f1("micro"), "f1_macro": _f1("macro"), "subset_accuracy": _mean(_right)},
    REGRESSION: {
        "pearson": _pearson,
        "spearmanr": _spearman,
        "r2": _r2,
        "rmse": _rmse,
        "mse": _mean(lambda p: (p.predictions - np.asarray(p.labels)) ** 2),
        "mae": _mean(lambda p: np.abs(p.predictions - np.asarray(p.labels))),
    },
}
"""For each metric of ``scores.py`` the measure that gives it of resamples of labelled predictions."""
