"""The predictions of a run before and after temperature scaling, and where the temperature comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import REGRESSION, Predictions, fit_halves
from logitmix_hf.evaluation.scaling import Scaling, fitted_scaling
from logitmix_hf.evaluation.temperature import FEW
from logitmix_hf.reporting.comparison.grouping import same_rows
from logitmix_hf.reporting.comparison.runs import ComparedRun

OWN, HALVES = "own", "halves"
_AT_BOUND = {
    "lower": "on these rows more confidence is always better, so T stays at 1",
    "upper": "on these rows less confidence is always better: T is the highest that is tried",
}


@dataclass(frozen=True, eq=False)
class Tempered:
    """One run on one split, before and after its temperature.

    Attributes:
        value: T; by halves the mean of the two. None for a vector scaling in its place.
        before, after: the same rows; their logits differ by the temperature, or the vector scaling, alone.
        source: ``OWN`` or ``HALVES``.
        fitted: in words, where T was fitted.
        caution: in words, why not to trust it, or empty.
    """

    value: float | None
    before: Predictions
    after: Predictions
    source: str
    fitted: str
    caution: str = ""


def temper(run: ComparedRun, predictions: Predictions) -> Tempered | None:
    """Both sides of a run's predictions: by its own temperature if it has one, else fitted by halves.

    Own: the file holds the logits after T; before it they are these times T, or what the run kept of the same rows. By
    halves: T fitted on one half of the rows judges the other, both ways round, so that no row is judged by a
    temperature that saw it. None for a regression, and for fewer than four rows without a temperature of the run's own.
    """
    if predictions.problem == REGRESSION:
        return None
    own = _fitted(run)
    if own is not None:
        return _own(run, predictions, own)
    if len(predictions) < 4:
        return None
    fitted = fit_halves(predictions.logits.astype(np.float64), predictions.labels)  # type: ignore[arg-type]
    cautions = [f"only {len(predictions)} rows"] if len(predictions) < FEW else []
    cautions += [_AT_BOUND[fitted.bound]] if fitted.bound else []
    after = replace(predictions, logits=fitted.apply(predictions.logits.astype(np.float64)))
    words = f"each half of these rows judges the other (seed {fitted.seed})"
    return Tempered(fitted.value, predictions, after, HALVES, words, "; ".join(cautions))


def _fitted(run: ComparedRun) -> Scaling | None:
    try:
        return fitted_scaling(run.results)
    except UserError:  # numbers of another hand
        return None


def _own(run: ComparedRun, predictions: Predictions, scaling: Scaling) -> Tempered:
    recorded = run.results.get("calibration")
    calibration = recorded if isinstance(recorded, dict) else {}
    rows = calibration.get("rows")
    fitted = str(calibration.get("split") or "rows of its own")
    if isinstance(rows, int) and "rows)" not in fitted:  # a share of train says how many it is
        fitted += f", {rows:,} rows"
    cautions = []
    if calibration.get("protocol") == "eval":
        cautions.append("fitted on the rows that judge it")
    if isinstance(rows, int) and rows < FEW:
        cautions.append(f"only {rows} rows")
    if calibration.get("bound"):
        cautions.append(_AT_BOUND.get(str(calibration["bound"]), "T ran into a bound of its search"))
    if run.fitted is not None and run.fitted.labels is not None and same_rows(run.fitted) == same_rows(predictions):
        before = run.fitted  # these very rows; by halves each was divided by the temperature of the other half
    else:
        before = replace(predictions, logits=scaling.undone().apply(predictions.logits.astype(np.float64)))
    if scaling.scale is not None:
        fitted = f"vector scaling, {fitted}"
    value = scaling.temperature if scaling.scale is None else None
    return Tempered(value, before, predictions, OWN, fitted, "; ".join(cautions))
