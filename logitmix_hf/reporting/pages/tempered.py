"""The predictions of a run before and after temperature scaling, and where the temperature comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from logitmix_hf.evaluation import REGRESSION, Predictions, fit_temperature
from logitmix_hf.reporting.pages.runs import Run

FEW = 50
"""Below so many rows a temperature says little."""

HALVES = "by halves"


@dataclass(frozen=True, eq=False)
class Tempered:
    """One run on one split, before and after its temperature.

    Attributes:
        value: T; by halves the geometric mean of the two.
        before, after: the same rows; their logits differ by the temperature alone.
        source: ``own`` or ``halves``.
        fitted: in words, where T was fitted.
        caution: in words, why not to trust it, or empty.
    """

    value: float
    before: Predictions
    after: Predictions
    source: str
    fitted: str
    caution: str = ""


def temper(run: Run, predictions: Predictions) -> Tempered | None:
    """Both sides of a run's predictions: by its own temperature if it has one, else fitted by halves.

    Own: the file holds the logits after T. By halves: T fitted on every other row judges the rows between, and the
    other way round, so that no row is judged by a temperature that saw it. None for a regression, and for fewer than
    four rows.
    """
    if predictions.problem == REGRESSION or len(predictions) < 4:
        return None
    own = run.results.get("temperature")
    if isinstance(own, (int, float)) and own > 0:
        return _own(run, predictions, float(own))
    scaled, values = _by_halves(predictions)
    mean = float(np.exp(np.mean(np.log(values))))
    few = f"only {len(predictions)} rows" if len(predictions) < FEW else ""
    fitted = "one half of these rows judges the other"
    return Tempered(mean, predictions, replace(predictions, logits=scaled), "halves", fitted, few)


def _own(run: Run, predictions: Predictions, value: float) -> Tempered:
    told = run.results.get("calibration")
    calibration = told if isinstance(told, dict) else {}
    rows = calibration.get("rows")
    fitted = f"{calibration.get('split') or 'rows of its own'}" + (f", {rows:,} rows" if isinstance(rows, int) else "")
    cautions = []
    if calibration.get("protocol") == "eval":
        cautions.append("fitted on the rows that judge it")
    if isinstance(rows, int) and rows < FEW:
        cautions.append(f"only {rows} rows")
    if calibration.get("bound"):
        cautions.append(f"T ran into its {calibration['bound']} bound")
    before = replace(predictions, logits=predictions.logits.astype(np.float64) * value)
    return Tempered(value, before, predictions, "own", fitted, "; ".join(cautions))


def _by_halves(predictions: Predictions) -> tuple[np.ndarray, list[float]]:
    logits, labels = predictions.logits.astype(np.float64), predictions.labels
    assert labels is not None
    even = np.arange(len(logits)) % 2 == 0
    scaled, values = np.empty_like(logits), []
    for fitted, judged in ((even, ~even), (~even, even)):
        values.append(fit_temperature(logits[fitted], labels[fitted]).value)
        scaled[judged] = logits[judged] / values[-1]
    return scaled, values
