"""The whole life of a run's temperature, in order.

:func:`check_flags` and :func:`check_rows` ask whether one can be fitted, before anything is trained; :func:`describe` says on
which rows; :func:`fit` fits it (``evaluation.temperature`` has the search); :class:`Calibration` divides the logits that
are judged by it, before any is written, and gives results and record their entries; :func:`put_into` folds it into the last
linear layer (``models.folding``), or leaves it in ``config.json``, where ``serving`` finds it; :func:`write_methods` and
:func:`table_rows` set it beside other ways of calibrating. ``judge`` calls them in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import REGRESSION, HalfTemperatures, Predictions, Temperature, fit_halves, fit_temperature
from logitmix_hf.evaluation.recalibration import compare_methods
from logitmix_hf.models.folding import fold, keep_in_config
from logitmix_hf.process import is_main_process
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.training.job import Job, Loaded

SPLIT = "calibration"
"""The rows that were set apart, among the splits of a run and in its ``predictions`` folder."""

METHODS_FILE = "calibration.json"
PICTURE = "calibration.png"


@dataclass(frozen=True)
class Calibration:
    """A run's temperature.

    temperature: fitted on ``fitted``, the logits as the model gave them; by halves, two.
    facts: ``split`` (in words), ``rows``, ``protocol`` ("split", "file", "halves" or "eval") and ``seed``.
    """

    temperature: Temperature | HalfTemperatures
    fitted: Predictions
    facts: Mapping[str, Any]

    @property
    def value(self) -> float:
        """T; of two the mean."""
        return self.temperature.value

    def apply(self, p: Predictions) -> Predictions:
        """Predictions with calibrated logits. By halves the fitted rows get the temperature of the other half each, all
        other rows the mean of both."""
        by_row = isinstance(self.temperature, HalfTemperatures) and p is self.fitted
        return replace(p, logits=self.temperature.apply(p.logits) if by_row else p.logits / self.value)

    def ranked(self) -> Predictions | None:
        """By halves the fitted rows under the one temperature that goes into the model: rows that were divided by
        different ones cannot be put in order of confidence. Else None."""
        if not isinstance(self.temperature, HalfTemperatures):
            return None
        return replace(self.fitted, logits=self.fitted.logits / self.value)

    def results(self) -> dict[str, Any]:
        """The entries ``temperature`` and ``calibration`` of ``eval_results.json``."""
        found = self.temperature
        results: dict[str, Any] = dict(self.facts)
        if isinstance(found, HalfTemperatures):
            results |= {"temperatures": [found.first.value, found.second.value]}
        else:
            results |= {"interval": [found.low, found.high]}
        results |= {"bound": found.bound}
        return {"temperature": self.value, "calibration": results}


def describe(job: Job, loaded: Loaded) -> dict[str, Any] | None:
    """The facts of a run's temperature before it is fitted; None for none."""
    protocol = job.run.calibration
    if protocol is None:
        return None
    judged = loaded.data.judged[0] if loaded.data.judged else None
    name = SPLIT if protocol in ("split", "file") or judged is None else judged.name
    place = judged.source if judged else ""
    words = {
        "halves": f"halves of {place}, each judged by the other, seed {job.training.seed}",
        "eval": f"{place}, the rows that are judged (--calibrate_on_eval)",
    }
    split = words.get(protocol) or loaded.data.calibration_note
    return {"split": split, "rows": len(loaded.splits[name]), "protocol": protocol, "seed": job.training.seed}


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


def fit(facts: Mapping[str, Any], rows: Predictions, quiet: bool = False) -> Calibration:
    """Fit the temperature of a run on its rows; not ``quiet``, what speaks against it is told in one line on stderr."""
    if rows.labels is None:
        raise UserError(
            f"The rows that a temperature is fitted on have no labels ({facts['split']}): give labelled ones."
        )
    by_halves = facts["protocol"] == "halves"
    fitted = (
        fit_halves(rows.logits, rows.labels, facts["seed"]) if by_halves else fit_temperature(rows.logits, rows.labels)
    )
    if fitted.warning and not quiet:
        say(fitted.warning)
    return Calibration(fitted, rows, facts)


def put_into(model: Any, calibration: Calibration, *, folded: bool, batch: Mapping[str, Any] | None = None) -> None:
    """The temperature into the model's last layer and configuration, or with ``folded`` false only into the latter."""
    if not folded:
        keep_in_config(getattr(model, "config", None), calibration.value, **calibration.facts)
    elif line := fold(model, calibration.value, batch, **calibration.facts):
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
    from logitmix_hf.reporting.plots import compare_reliability

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
        sides = {"before": first, f"after, T = {calibration.value:.3g}": calibration.apply(first)}
        compare_reliability(sides, folder.path / PICTURE, bins, title)


def table_rows(
    job: Job, folder: RunFolder, results: Mapping[str, Any], prefix: str, metric: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of the last table, each a label and results: one; with a temperature one before and one after it; where
    the job compares, one for every way of calibrating."""
    if "temperature" not in results:
        return [(job.label, results)]
    note = ", fitted on these rows" if results["calibration"]["protocol"] == prefix == "eval" else ""
    value = f"T = {results['temperature']:.3g}{note}"
    methods = folder.read_json(METHODS_FILE)["methods"].get(prefix) if job.compares else None
    if methods:
        labels = {"uncalibrated": "uncalibrated", "temperature": value}
        return [
            (labels.get(name, f"{name}{note}"), {f"{prefix}_{key}": score for key, score in scores.items()})
            for name, scores in methods.items()
        ]
    start = f"{prefix}_uncalibrated_"
    before = {f"{prefix}_{metric}": results.get(f"{prefix}_{metric}")}
    before |= {f"{prefix}_{key.removeprefix(start)}": score for key, score in results.items() if key.startswith(start)}
    return [(f"{job.label}, T = 1", before), (f"{job.label}, {value}", results)]
