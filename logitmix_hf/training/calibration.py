"""The whole life of a run's temperature (or of the vector scaling in its place), in order.

:func:`check_flags` and :func:`check_rows` ask whether one can be fitted, before anything is trained; :func:`describe` says on
which rows; :func:`fit` fits it (``evaluation.temperature`` has the search, ``evaluation.chosen`` what is taken);
:class:`Calibration` divides the logits that are judged by it, before any is written, and gives results and record their
entries; :func:`put_into` folds it into the last linear layer (``models.folding``), or leaves it in ``config.json``, where
``serving`` finds it; :func:`write_methods` and :func:`table_rows` set it beside other ways of calibrating. ``judge`` calls
them in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import REGRESSION, HalfTemperatures, Predictions, Temperature
from logitmix_hf.evaluation.chosen import Chosen, HalfVectors, fit_calibrator
from logitmix_hf.evaluation.recalibration import compare_methods
from logitmix_hf.evaluation.scaling import TEMPERATURE, VECTOR, Scaling, fitted_scaling
from logitmix_hf.models.folding import fold, keep_in_config
from logitmix_hf.process import is_main_process
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.plots import compare_reliability
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded

SPLIT = "calibration"
"""The rows that were set apart, among the splits of a run and in its ``predictions`` folder."""

METHODS_FILE = "calibration.json"
PICTURE = "calibration.png"


@dataclass(frozen=True)
class Calibration:
    """A run's temperature, or vector scaling.

    chosen: fitted on ``fitted``, the logits as the model gave them; by halves, two.
    facts: ``split`` (in words), ``rows``, ``protocol`` ("split", "file", "halves" or "eval") and ``seed``.
    """

    chosen: Chosen
    fitted: Predictions
    facts: Mapping[str, Any]

    @property
    def scaling(self) -> Scaling:
        """What goes into the model; of two the mean."""
        return self.chosen.scaling

    def apply(self, p: Predictions) -> Predictions:
        """Predictions with calibrated logits. By halves the fitted rows get what the other half fitted, all other rows the
        mean of both."""
        by_row = self.chosen.halves and p is self.fitted
        return replace(p, logits=(self.chosen.fitted if by_row else self.scaling).apply(p.logits))

    def ranked(self) -> Predictions | None:
        """By halves the fitted rows under the one temperature that goes into the model: rows that were divided by
        different ones cannot be put in order of confidence. Else None."""
        return replace(self.fitted, logits=self.scaling.apply(self.fitted.logits)) if self.chosen.halves else None

    @property
    def half(self) -> np.ndarray | None:
        """By halves which of the fitted rows are in the second one, (N,) bool; else None."""
        found = self.chosen.fitted
        return found.half if isinstance(found, HalfTemperatures | HalfVectors) else None

    def results(self) -> dict[str, Any]:
        """The entries ``temperature`` (of one) and ``calibration`` of ``eval_results.json``."""
        found, results = self.chosen.fitted, {**self.facts, "calibrator": self.chosen.name}
        if self.chosen.nll:
            results |= {"cross_validated_nll": dict(self.chosen.nll)}
        if not isinstance(found, Temperature | HalfTemperatures):
            return {"calibration": {**results, **self.scaling.record()}}
        if isinstance(found, HalfTemperatures):
            results |= {"temperatures": [found.first.value, found.second.value]}
        else:
            results |= {"interval": [found.low, found.high]}
        return {"temperature": found.value, "calibration": {**results, "bound": found.bound}}


def describe(job: Job, loaded: Loaded) -> dict[str, Any] | None:
    """The facts of a run's temperature before it is fitted; None for none."""
    protocol = job.run.calibration
    if protocol is None:
        return None if loaded.calibrated_on is None else dict(loaded.calibrated_on)
    judged = loaded.data.judged[0] if loaded.data.judged else None
    name = SPLIT if protocol in ("split", "file") or judged is None else judged.name
    place = judged.source if judged else ""
    words = {
        "halves": f"halves of {place}, each judged by the other, seed {job.training.seed}",
        "eval": f"{place}, the rows that are judged (--calibrate_on_eval)",
    }
    split = words.get(protocol) or loaded.data.calibration_note
    return {"split": split, "rows": loaded.rows(name), "protocol": protocol, "seed": job.training.seed}


def check_flags(job: Job, regression: bool = False) -> None:
    """What can be said of the flags alone; ``regression``: the data is known to be one.

    Raises:
        UserError: for a temperature of values, or one to be fitted on rows that are not predicted.
    """
    protocol = job.run.calibration
    if protocol is None:
        return
    if regression:
        raise _no_classes(job)
    if protocol in ("halves", "eval") and not job.training.do_eval:
        raise UserError(f"{_flag(job)} fits the temperature on judged rows, and --do_eval false judges none: take one.")


def check_rows(job: Job, data: TaskData[Any]) -> None:
    """Require what was loaded to have rows for the temperature, with classes."""
    protocol = job.run.calibration
    if protocol is None:
        return
    if data.problem == REGRESSION:
        raise _no_classes(job)
    if protocol == "split" and not data.calibration_note:
        raise UserError(f"{_flag(job)} takes its rows from train, and {data.name} has no train split: give others.")
    if protocol == "split" and not job.training.do_train and is_main_process():
        say(
            f"{_flag(job)} fits the temperature on rows of train: where this model was trained on them, it knows them too"
            " well, and the temperature comes out too low."
        )
    if protocol in ("halves", "eval") and not data.judged:
        raise UserError(f"{_flag(job)} fits the temperature on judged rows, and {data.name} has none.")


def _no_classes(job: Job) -> UserError:
    return UserError(
        f"{_flag(job)} fits a temperature to the probabilities of classes, but {job.name} is a regression, which gives"
        " values: leave it out."
    )


def _flag(job: Job) -> str:
    run = job.run
    words = {
        "split": f"--calibration_split {run.calibration_split}",
        "file": f"--calibration_file {run.calibration_file}",
        "halves": "--protocol halves",
        "eval": "--calibrate_on_eval",
    }
    return words[str(run.calibration)]


def fit(facts: Mapping[str, Any], rows: Predictions, calibrator: str = TEMPERATURE, quiet: bool = False) -> Calibration:
    """Fit the calibration of a run on its rows; not ``quiet``, what speaks against it, and why it was taken, is told in a
    line each on stderr."""
    if rows.labels is None:
        raise UserError(
            f"The rows that a temperature is fitted on have no labels ({facts['split']}): give labelled ones."
        )
    by_halves = facts["protocol"] == "halves"
    chosen = fit_calibrator(rows.logits, rows.labels, calibrator, halves=by_halves, seed=facts["seed"])
    lines = list(chosen.notes)
    if rows.labels.ndim == 1 and len(np.unique(rows.labels)) == 1:
        lines.append(
            f"All {len(rows)} rows that the calibration is fitted on ({facts['split']}) are of one class: they say nothing of"
            " the others. Give rows of every class."
        )
    if chosen.nll:
        one, other = (chosen.nll[name] for name in (TEMPERATURE, VECTOR))
        lines.append(
            f"--calibrator auto takes the {'vector scaling' if chosen.name == VECTOR else 'temperature'}: cross-validated NLL"
            f" {one:.4f} with a temperature, {other:.4f} with vector scaling."
        )
    if lines and not quiet:
        say(*lines)
    return Calibration(chosen, rows, facts)


def put_into(
    model: Any, calibration: Calibration, *, folded: bool, batch: Mapping[str, Any] | None = None, **more: Any
) -> None:
    """The calibration into the model's last layer and configuration, or with ``folded`` false only into the latter; ``more``:
    what stands there beside it."""
    facts = {**calibration.facts, **more}
    if not folded:
        keep_in_config(getattr(model, "config", None), calibration.scaling, **facts)
    elif line := fold(model, calibration.scaling, batch, **facts):
        say(line)


MOST = 10_000_000
"""Logits in a split (rows times classes) above which only the temperature is set beside nothing: the others have a
number or more for each class, and would take minutes."""


def write_methods(
    folder: RunFolder,
    calibration: Calibration,
    splits: Mapping[str, Predictions],
    metrics: tuple[str, ...],
    bins: int,
    title: str,
) -> None:
    """Write ``calibration.json`` (every way of calibrating, by the prefix of each split) and ``calibration.png`` (the
    first split before and after); ``predictions/calibration.parquet`` holds the fitted rows before.

    Args:
        splits: predictions as the model gave them, by the prefix of their keys.
    """
    calibration.fitted.save(folder.predictions_path(SPLIT))
    table: dict[str, Any] = {}
    for prefix, p in splits.items():
        if max(p.logits.size, calibration.fitted.logits.size) > MOST:
            continue
        by_halves = calibration.facts["protocol"] == "halves" and p is calibration.fitted
        fitted = None if by_halves else calibration.fitted
        table[prefix] = compare_methods(p, fitted, metrics, bins, seed=calibration.facts["seed"])
    folder.write_json(METHODS_FILE, {**calibration.results(), "methods": table})
    first = next(iter(splits.values()), None)
    if first is not None:
        sides = {"before": first, f"after, {named(calibration.scaling)}": calibration.apply(first)}
        compare_reliability(sides, folder.path / PICTURE, bins, title)


def table_rows(
    job: Job, folder: RunFolder, results: Mapping[str, Any], prefix: str, metric: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of the last table, each a label and results: one; with a temperature one before and one after it; where
    the job compares, one for every way of calibrating."""
    scaling = fitted_scaling(results)
    if scaling is None:
        return [(job.label, results)]
    note = ", fitted on these rows" if results["calibration"]["protocol"] == prefix == "eval" else ""
    value = f"{named(scaling)}{note}"
    methods = folder.read_json(METHODS_FILE)["methods"].get(prefix) if job.compares else None
    if methods:
        labels = {"uncalibrated": "uncalibrated", scaling.name: value}
        return [
            (labels.get(name, f"{name}{note}"), {f"{prefix}_{key}": score for key, score in scores.items()})
            for name, scores in methods.items()
        ]
    start = f"{prefix}_uncalibrated_"
    before = {f"{prefix}_{metric}": results.get(f"{prefix}_{metric}")}
    before |= {f"{prefix}_{key.removeprefix(start)}": score for key, score in results.items() if key.startswith(start)}
    first = "T = 1" if scaling.name == TEMPERATURE else "uncalibrated"
    return [(f"{job.label}, {first}", before), (f"{job.label}, {value}", results)]


def named(scaling: Scaling) -> str:
    """What tables call it."""
    return f"T = {scaling.temperature:.3g}" if scaling.name == TEMPERATURE else "vector scaling"
