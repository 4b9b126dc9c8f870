"""Read the folders of runs. One that cannot be read is named with the reason, and the others are read all the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.evaluation import DEFAULT_METRICS, Predictions, evaluate_predictions
from logitmix_hf.reporting.folder import FORMAT, RECORD, RunFolder
from logitmix_hf.reporting.numbers import finite
from logitmix_hf.reporting.record import read_record
from logitmix_hf.reporting.results import INTERVALS, RESULTS, TESTED, read_results

_TRACES = (RECORD, "eval_results.json", "trainer_state.json", "predictions", "model.safetensors")
"""What only a run leaves: a folder with any of these is one, whole or not."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """What one finished training left, checked.

    Attributes:
        name: of its folder.
        record: ``run.json``.
        results: ``eval_results.json`` and ``test_results.json``.
        history: ``log_history`` of ``trainer_state.json``; empty where nothing was trained.
        splits: prefix of the results' keys to the split's name and its predictions, which have labels.
        intervals: ``intervals.json``, or empty.
        fitted: ``predictions/calibration.parquet``, the rows that the run's temperature was fitted on, before it.
    """

    name: str
    path: Path
    record: Mapping[str, Any]
    results: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    splits: Mapping[str, tuple[str, Predictions]]
    intervals: Mapping[str, Any] = field(default_factory=dict)
    fitted: Predictions | None = None

    @property
    def data(self) -> Mapping[str, Any]:
        return self.record["data"]

    @property
    def seed(self) -> Any:
        return self.record["seeds"].get("seed")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's scores, headline first."""
        predictions = next(iter(self.splits.values()))[1]
        return tuple(self.data.get("metrics") or DEFAULT_METRICS[predictions.problem])


@dataclass(frozen=True)
class FoundRuns:
    """What the given paths hold.

    Attributes:
        runs: those that could be read, in the order given.
        skipped: path and reason of each run that is corrupt or not finished.
        passed: paths that are no runs at all, such as a log beside the folders.
    """

    runs: list[ComparedRun] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


def find_runs(paths: Iterable[str | os.PathLike[str]]) -> FoundRuns:
    """Read every run among the paths, and those of a study's folder; the same folder given twice counts once.

    Raises:
        UserError: a path does not exist, or none holds a run that can be read.
    """
    found, seen = FoundRuns(), set()
    given = [Path(path) for path in paths]
    for path in given:
        if not path.exists():
            raise UserError(f"There is no {str(path)!r}; give the folders of runs, such as runs/*.")
    for path in (run for one in given for run in (sorted(one.glob("runs/*")) if _is_study(one) else [one])):
        place = path.resolve()
        if place in seen:
            continue
        seen.add(place)
        if not path.is_dir() or not any((path / trace).exists() for trace in _TRACES):
            found.passed.append(str(path))
            continue
        try:
            found.runs.append(read_run(path))
        except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
            reason = f"no {problem}" if isinstance(problem, KeyError) else one_line(problem)
            if not isinstance(problem, (UserError, OSError)):
                reason = f"its files are damaged ({type(problem).__name__}: {reason})"
            found.skipped.append((str(path), reason))
    if not found.runs:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in found.skipped[:3])
        raise UserError(
            f"None of the {len(given)} paths given holds a run that can be read{f' ({reasons})' if reasons else ''}; "
            "give the folders of finished runs, such as runs/*."
        )
    return found


def _is_study(path: Path) -> bool:
    return (path / "study.json").is_file() and (path / "runs").is_dir()


def read_run(path: Path) -> ComparedRun:
    """One run, with every file that a report reads.

    Raises:
        UserError: it is not finished, a file is missing or damaged, or its numbers and its predictions disagree.
        LookupError, TypeError, ValueError, AttributeError: ``run.json`` lacks what every run writes.
    """
    folder = RunFolder(path)
    record = read_record(folder)
    if record.get("format") != FORMAT:
        raise UserError(f"its {RECORD} is not one of ours (it lacks the format {FORMAT!r})")
    status = record.get("status")
    if status != "done":
        hint = ": it trains still, or stopped without a word" if status == "running" else ""
        raise UserError(f"it is not finished (its status is {status!r}{hint})")
    data, results = record["data"], read_results(folder)
    state, intervals = folder.optional_json("trainer_state.json"), folder.optional_json(INTERVALS)
    splits = {
        prefix: (str(split["split"]), _predictions(path, str(split["split"]), split.get("rows")))
        for prefix, split in data["splits"].items()
    }
    if not splits:
        raise UserError("it judged nothing (--do_eval false?), so there is nothing to report")
    history = [entry for entry in state.get("log_history", ()) if isinstance(entry, dict)]
    before = path / "predictions" / "calibration.parquet"
    fitted = Predictions.load(before) if before.exists() else None
    run = ComparedRun(path.resolve().name, path, record, results, history, splits, intervals, fitted)
    for prefix, (name, predictions) in splits.items():
        _agree(run, prefix, name, predictions)
    return run


def _predictions(path: Path, split: str, rows: int | None) -> Predictions:
    predictions = Predictions.load(path / "predictions" / f"{split}.parquet")
    name = f"predictions/{split}.parquet"
    if predictions.labels is None:
        raise UserError(f"{name} has no labels, so nothing can be judged")
    if rows is not None and rows != len(predictions):
        raise UserError(f"{name} holds {len(predictions)} rows, but {RECORD} speaks of {rows}")
    return predictions


def _agree(run: ComparedRun, prefix: str, split: str, predictions: Predictions) -> None:
    """A file of another run among these must not go unnoticed."""
    metric, value = run.metrics[0], evaluate_predictions(predictions, run.metrics)[run.metrics[0]]
    recorded = finite(run.results.get(f"{prefix}_{metric}"))
    if recorded is not None and not np.isclose(recorded, value, atol=1e-4):
        name = TESTED if prefix.startswith("test") else RESULTS
        raise UserError(
            f"{name} gives {prefix}_{metric} {recorded:.4f}, but predictions/{split}.parquet gives "
            f"{value:.4f}: one of them is of another run"
        )
