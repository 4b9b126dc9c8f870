"""The scores of a study, computed again from the predictions of its runs: by method, task and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.evaluation import Predictions, evaluate_predictions, review
from logitmix_hf.evaluation.paired import SeedScores
from logitmix_hf.evaluation.refinement import NLL_REFINED, refined, refinement
from logitmix_hf.evaluation.resampled_scores import drawn_scores
from logitmix_hf.reporting.comparison.grouping import same_rows
from logitmix_hf.reporting.comparison.runs import ComparedRun, read_run
from logitmix_hf.reporting.comparison.scores import AFTER, CORRUPTED_KEY
from logitmix_hf.reporting.comparison.temperature import Tempered, temper
from logitmix_hf.reporting.numbers import finite
from logitmix_hf.studies.manifest import Cell, Study, check_baseline
from logitmix_hf.studies.outcome import read_attempts

DIVERGED, MISSING = "diverged", "missing"
HEADLINE = "headline"


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """One run on one task with its scores, as trained and (``_at_t``) after temperature."""

    cell: Cell
    run: ComparedRun
    predictions: Predictions
    tempered: Tempered | None
    values: Mapping[str, float]

    def side(self, key: str) -> Predictions:
        """The predictions that the score of this key is computed from."""
        if key.endswith(AFTER) and self.tempered is not None:
            return self.tempered.after
        before = self.predictions if self.tempered is None else self.tempered.before
        return refined(before) if key == NLL_REFINED else before


@dataclass(frozen=True, eq=False)
class StudyTask:
    """Runs that were judged on the very same rows of the very same data.

    Attributes:
        name: of the axis, with the split where a run judges several, and a number where the data changed half-way.
        headline: the task's own first score.
        runs: by method and seed.
        absent: why a run is not there, by method and seed: ``diverged``, or ``missing: …``.
    """

    name: str
    split: str
    headline: str
    runs: dict[str, dict[Any, JudgedRun]] = field(default_factory=dict)
    absent: dict[str, dict[Any, str]] = field(default_factory=dict)
    changed: bool = False

    def key(self, metric: str) -> str:
        """The score that a metric of the study means here."""
        return self.headline if metric == HEADLINE else metric.removeprefix("eval_")

    def values(self, method: str, metric: str) -> dict[Any, float]:
        """By seed."""
        key = self.key(metric)
        found = self.runs.get(method, {})
        return {seed: run.values[key] for seed, run in found.items() if math.isfinite(run.values.get(key, math.nan))}

    def whole(self, method: str) -> bool:
        """Whether no run of the method is missing; one that diverged is no better for being run again."""
        return bool(self.runs.get(method)) and set(self.absent.get(method, {}).values()) <= {DIVERGED}

    def state(self, method: str) -> str:
        """As ``6/6``, or ``5/6, 1 diverged``."""
        there, absent = len(self.runs.get(method, {})), list(self.absent.get(method, {}).values())
        if not there and not absent:
            return ""
        diverged = absent.count(DIVERGED)
        words = [f"{there}/{there + len(absent)}"]
        words += [f"{diverged} diverged"] if diverged else []
        words += [f"{len(absent) - diverged} missing"] if len(absent) > diverged else []
        return ", ".join(words)


@dataclass(frozen=True, eq=False)
class StudyScores:
    """tasks and methods in the order of the study; versions: of each library that is not the same in all runs; missing: the
    runs that are not there and might be, as ``task method seed (reason)``."""

    tasks: list[StudyTask]
    methods: list[str]
    baseline: str | None
    axes: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, Sequence[str]]
    missing: Sequence[str]

    def baseline_of(self, method: str) -> str | None:
        """The row that a method is set against: the baseline with the same values of all other axes, or the only one."""
        if self.baseline is None:
            return None
        rows = [name for name in self.methods if str(self.axes[name].get("method")) == self.baseline]
        if len(rows) > 1:
            other = _others(self.axes[method])
            rows = [name for name in rows if _others(self.axes[name]) == other]
        return rows[0] if len(rows) == 1 and rows[0] != method else None


def read_scores(
    study: Study,
    bins: int = 15,
    full: bool = False,
    say: Callable[[str], None] = lambda _: None,
    allow_missing: bool = True,
) -> StudyScores:
    """Read and judge every run of a study. full: with the scores that take longer, which ``review`` gives.

    Raises:
        UserError: no run is done, one is missing that may not be, or no method has the name of the baseline.
    """
    live = study.live
    axes = {
        method_of(cell): {axis: value for axis, value in cell.labels.items() if axis not in ("task", "seed")}
        for cell in live
    }
    baseline = study.compare.get("baseline")
    names = dict.fromkeys(str(each.get("method")) for each in axes.values())
    if baseline is None:
        baseline = next(iter(names), None)
    check_baseline(study.compare, names)
    by_task: dict[str, dict[tuple[str, ...], StudyTask]] = {}
    absent: list[tuple[Cell, str]] = []
    read: list[tuple[Cell, ComparedRun]] = []
    for cell in live:
        found = _run_or_reason(cell.folder)
        if isinstance(found, ComparedRun):
            read.append((cell, found))
        else:
            absent.append((cell, found))
    drawn = _drawn_by_seed(read)
    if not read:
        raise UserError(f"No run of the study {study.name!r} is done yet, so there is nothing to tell.")
    gone = [f"{_words(cell)} ({why.removeprefix(f'{MISSING}: ')})" for cell, why in absent if why.startswith(MISSING)]
    if gone and not allow_missing:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise UserError(
            f"{len(gone)} run{'s' if len(gone) > 1 else ''} of the study {study.name!r} not done: "
            f"{'; '.join(gone[:3])}{more}. `logitmix study run` finishes them; --allow_missing tells of the others."
        )
    for number, (cell, run) in enumerate(read, start=1):
        say(f"judging {number} of {len(read)}: {cell.folder.name}")
        for prefix, (split, predictions) in run.splits.items():
            name = _task_of(cell, run)
            data = "" if name in drawn else str(run.data.get("fingerprint"))
            rows = (prefix, data, same_rows(predictions))
            of_name = by_task.setdefault(name, {})
            task = of_name.setdefault(rows, StudyTask(name, split, run.metrics[0]))
            method, seed = method_of(cell), cell.labels.get("seed", run.seed)
            judged = _scored(cell, run, predictions, bins, full)
            task.runs.setdefault(method, {})[seed] = replace(
                judged, values={**judged.values, **corrupted_scores(run, prefix)}
            )
    for name in dict.fromkeys(str(cell.labels["task"]) for cell in live if "task" in cell.labels):
        by_task.setdefault(name, {("", "", ""): StudyTask(name, "", "")})
    tasks = [task for found in by_task.values() for task in _named(found)]
    for cell, reason in absent:
        for task in tasks:
            name = task.name.split(" · ")[0]
            if name == str(cell.labels.get("task", name)):
                task.absent.setdefault(method_of(cell), {})[cell.labels.get("seed")] = reason
    return StudyScores(tasks, list(axes), None if baseline is None else str(baseline), axes, _versions(read), gone)


def _words(cell: Cell) -> str:
    seed = cell.labels.get("seed")
    return " ".join(
        [*map(str, (cell.labels.get("task", ""), method_of(cell))), "" if seed is None else f"seed {seed}"]
    ).strip()


def drawn(
    task: StudyTask, keys: Sequence[str], draws: int, bins: int, seed: int = 0
) -> dict[str, dict[Any, dict[str, Any]]]:
    """By method, seed and key the scores (B,) of B draws of rows, the same draws for every run of the task."""
    found: dict[str, dict[Any, dict[str, Any]]] = {method: {s: {} for s in runs} for method, runs in task.runs.items()}
    runs = [(method, s, run) for method, by_seed in task.runs.items() for s, run in by_seed.items()]
    # Key -> the score that is computed, of three sides of the same rows: as trained, after temperature, refined.
    trained = {key: key for key in keys if not key.endswith(AFTER) and key != NLL_REFINED}
    tempered = {key: key.removesuffix(AFTER) for key in keys if key.endswith(AFTER)}
    for names in (trained, tempered, {NLL_REFINED: "nll"} if NLL_REFINED in keys else {}):
        able = [each for each in runs if each[2].tempered is not None or names is not tempered]
        if not names or not able:
            continue
        sides = [run.side(next(iter(names))).by_idx() for _, _, run in able]
        metrics = [name for name in able[0][2].run.metrics if name in names.values()]
        given = drawn_scores(sides, [*names.values()], metrics, bins, draws, seed)
        for (method, s, _), scores in zip(able, given, strict=True):
            found[method][s] |= {key: scores[name] for key, name in names.items() if name in scores}
    return found


def seed_scores(task: StudyTask, method: str, seeds: Sequence[Any], key: str, found: Mapping[str, Any]) -> SeedScores:
    """Of these seeds in this order."""
    values = [task.runs[method][seed].values[key] for seed in seeds]
    return SeedScores(np.array(values), np.stack([found[method][seed][key] for seed in seeds]))


def method_of(cell: Cell) -> str:
    """A row of the table: the method, and the values of every axis beside task and seed."""
    others = [f"{axis} {value}" for axis, value in _others(cell.labels).items()]
    return ", ".join([str(cell.labels.get("method", "run")), *others])


def _task_of(cell: Cell, run: ComparedRun) -> str:
    return str(cell.labels.get("task", run.data.get("name")))


def _drawn_by_seed(read: Sequence[tuple[Cell, ComparedRun]]) -> set[str]:
    """Tasks whose training rows every seed draws anew (``--max_train_samples``), the same for all methods: data of another
    fingerprint is then what a seed is, and no change half-way. Where two runs of one seed differ, it is a change."""
    found: dict[str, dict[Any, set[str | None]]] = {}
    for cell, run in read:
        draws = run.record["arguments"].get("max_train_samples") is not None
        seeds = found.setdefault(_task_of(cell, run), {}).setdefault(cell.labels.get("seed", run.seed), set())
        seeds.add(str(run.data.get("fingerprint")) if draws else None)
    return {
        name for name, seeds in found.items() if all(len(data) == 1 and None not in data for data in seeds.values())
    }


def _run_or_reason(folder: Path) -> ComparedRun | str:
    try:
        return read_run(folder)
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
        return why_absent(folder, problem)


def why_absent(folder: Path, problem: BaseException) -> str:
    """``diverged``, or ``missing: `` and the reason."""
    last = next((one for one in reversed(read_attempts(folder)) if one["event"] == "end"), {})
    if last.get("kind") == DIVERGED or "TrainingDiverged" in str(last.get("line", "")):
        return DIVERGED
    return f"{MISSING}: {one_line(problem) if isinstance(problem, UserError) else type(problem).__name__}"


def _scored(cell: Cell, run: ComparedRun, predictions: Predictions, bins: int, full: bool) -> JudgedRun:
    tempered = temper(run, predictions)
    metrics = run.metrics
    if tempered is None:
        values = _review(predictions, metrics, bins, full) | refinement(predictions)
        return JudgedRun(cell, run, predictions, None, values)
    values = _review(tempered.before, metrics, bins, full) | refinement(tempered.before)
    values |= {f"{key}{AFTER}": value for key, value in _review(tempered.after, metrics, bins, full).items()}
    temperature = {} if tempered.value is None else {"temperature": tempered.value}
    return JudgedRun(cell, run, predictions, tempered, values | temperature)


def _review(predictions: Predictions, metrics: Sequence[str], bins: int, full: bool) -> dict[str, float]:
    return (review if full else evaluate_predictions)(predictions, metrics, bins)


def corrupted_scores(run: ComparedRun, prefix: str) -> dict[str, float]:
    """What the run found on corrupted images, of which it kept no rows: told with its first split, and not tested."""
    if prefix != next(iter(run.splits)):
        return {}
    return {
        key: value for key, value in run.results.items() if CORRUPTED_KEY.fullmatch(key) and finite(value) is not None
    }


def known_scores(task: StudyTask) -> set[str]:
    """The names of the scores that a task has."""
    runs = [run for by_seed in task.runs.values() for run in by_seed.values()]
    return {key for run in runs for key in run.values} - {"temperature"}


def _named(found: Mapping[tuple[str, ...], StudyTask]) -> list[StudyTask]:
    """The tasks of one name, told apart by their split, and numbered where the data of a split changed half-way."""
    splits = list(dict.fromkeys(rows[0] for rows in found))
    named = []
    for rows, task in found.items():
        alike = [other for other in found if other[0] == rows[0]]
        words = [task.name, *([task.split] if len(splits) > 1 else [])]
        words += [f"data {alike.index(rows) + 1} of {len(alike)}"] if len(alike) > 1 else []
        made = StudyTask(" · ".join(words), task.split, task.headline, task.runs, task.absent, len(alike) > 1)
        named.append(made)
    return named


def _others(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {axis: value for axis, value in labels.items() if axis not in ("task", "dataset", "seed", "method", "case")}


def _versions(read: Sequence[tuple[Cell, ComparedRun]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for _, run in read:
        versions = (run.record.get("environment") or {}).get("versions") or {}
        for name, version in versions.items():
            found.setdefault(str(name), set()).add(str(version))
    return {name: sorted(versions) for name, versions in found.items() if len(versions) > 1}
