"""The tables of a study as values: HTML, Markdown and LaTeX are written from the same ones."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import better
from logitmix_hf.reporting.comparison.scores import AFTER
from logitmix_hf.reporting.comparison.significance import ONLY
from logitmix_hf.reporting.comparison.tables import Head, ScoreTable, TableCell
from logitmix_hf.reporting.emissions import FILE as EMISSIONS
from logitmix_hf.reporting.emissions import read_emissions
from logitmix_hf.reporting.numbers import finite
from logitmix_hf.reporting.record import device_of
from logitmix_hf.reporting.score_names import SCORE_NAMES
from logitmix_hf.studies.file import StudyFile
from logitmix_hf.studies.scores import JudgedRun, StudyScores, StudyTask
from logitmix_hf.studies.search import Found, searched, told_flags
from logitmix_hf.studies.verdicts import Finding, Overall, Verdicts
from logitmix_hf.tables import csv_table

Paper = Mapping[tuple[str, str, str], tuple[float, float | None]]
"""Published scores and their deviations by task, method and metric."""


def heading(metric: str, tasks: Iterable[StudyTask]) -> str:
    """What a metric is called above its table."""
    keys = list(dict.fromkeys(task.key(metric) for task in tasks if task.headline))
    names = [SCORE_NAMES.get(key.removesuffix(AFTER), key.replace("_", " ")) for key in keys]
    after = " after temperature" if metric.endswith(AFTER) else ""
    return f"{', '.join(dict.fromkeys(names))}{after}"


def score_table(scores: StudyScores, verdicts: Verdicts, metric: str, paper: Paper | None = None) -> ScoreTable:
    """Methods × tasks: mean ± deviation over seeds; then the mean over tasks, mean rank and Borda's points."""
    overall = verdicts.overall[metric]
    tasks = [task for task in scores.tasks if task.name in overall.tasks or not task.runs]
    keys = {task.key(metric) for task in tasks if task.runs}
    way = {1: "more is better", -1: "less is better"}.get(
        next(iter({better(k.removesuffix(AFTER)) for k in keys})) or 0
    )
    rows, baselines = [], {scores.baseline_of(method) for method in scores.methods}
    for method in scores.methods:
        cells = [TableCell(method, value=method)]
        cells += [_cell(task, method, metric, verdicts.of(metric, task.name, method), paper) for task in tasks]
        rows.append([*cells, *_overall_cells(overall, method)])
        after = f"{metric}{AFTER}"
        if after in verdicts.overall and method in baselines:
            cells = [TableCell(f"{method} + T", "after temperature", method)]
            cells += [_cell(task, method, after, None, None) for task in tasks]
            mean = verdicts.overall[after].mean.get(method, math.nan)
            rows.append([*cells, _plain(mean), TableCell("–"), TableCell("–")])
    first = "ascending" if way == "less is better" else "descending"
    heads = [Head("method"), *(Head(task.name, way or "", True, first) for task in tasks)]
    heads += [
        Head("mean", "over tasks", True, first, True),
        Head("rank", "mean rank over tasks, 1 is best", True),
        Head("Borda", "a point for each method beaten on a task", True, "descending"),
    ]
    return ScoreTable(heading(metric, tasks), heads, rows, notes=list(_notes(scores, verdicts, metric)))


def _cell(task: StudyTask, method: str, metric: str, finding: Finding | None, paper: Paper | None) -> TableCell:
    values = list(task.values(method, metric).values())
    published = None if paper is None else paper.get((task.name, method, task.key(metric)))
    said = "" if published is None else f"paper {published[0]:.4f}"
    said += "" if published is None or published[1] is None else f" ± {published[1]:.4f}"
    if not values:
        return TableCell("–", "; ".join(word for word in (task.state(method), said) if word))
    small = [f"± {np.std(values, ddof=1):.4f}"] if len(values) > 1 else []
    if task.absent.get(method):
        small.append(task.state(method))
    small += [said] if said else []
    mean = float(np.mean(values))
    bold, only = finding is not None and finding.bold, finding is not None and finding.interval_only
    return TableCell(
        f"{mean:.4f}{ONLY if only else ''}", "; ".join(small), repr(mean), bold, told(finding) if finding else ""
    )


def _overall_cells(overall: Overall, method: str) -> list[TableCell]:
    rank, points = overall.rank.get(method), overall.points.get(method)
    return [
        _plain(overall.mean.get(method, math.nan)),
        TableCell("–") if rank is None else TableCell(f"{rank:.2f}", value=repr(rank)),
        TableCell("–") if points is None else TableCell(f"{points:g}", value=repr(points)),
    ]


def told(finding: Finding) -> str:
    """A finding in words."""
    d = finding.found
    p = f", p = {d.p:.4f}" if math.isfinite(d.p) else ""
    p += f", after Holm {finding.adjusted:.4f}" if math.isfinite(finding.adjusted) else ""
    seeds = f"{d.seeds} seed{'s' if d.seeds != 1 else ''}"
    ends = f"{_signed(d.value)} [{_signed(d.low)}, {_signed(d.high)}]"
    return (
        f"{finding.method} against {finding.baseline} on {finding.task}: {ends}, "
        f"{seeds}{p}, P(A>B) {d.won.value:.2f} [{d.won.low:.2f}, {d.won.high:.2f}]"
    )


def _signed(value: float) -> str:
    return format(round(value, 4) + 0.0, "+.4f")  # no minus before a zero


def _notes(scores: StudyScores, verdicts: Verdicts, metric: str) -> Iterable[str]:
    yield from (f"{told(each)}." for each in verdicts.findings[metric])
    overall = verdicts.overall[metric]
    if overall.friedman is not None:
        f = overall.friedman
        yield f"Do the methods differ over the tasks at all: Iman and Davenport's F = {f.f:.2f}, df {f.df}, p = {f.p:.4f}."
    for method, p in overall.p.items():
        yield (
            f"{method} against {scores.baseline_of(method)} over {len(overall.tasks)} tasks: Wilcoxon's p = {p:.4f}, "
            f"after Holm {overall.adjusted[method]:.4f}."
        )
    for method, each in overall.bayes.items():
        yield (
            f"{method} against {scores.baseline_of(method)}, Bayesian signed rank: ahead on another task with probability"
            f" {each.a:.3f}, alike {each.alike:.3f}, behind {each.b:.3f}."
        )


def cells_table(scores: StudyScores) -> ScoreTable:
    """How many runs of each method and task are there."""
    rows = [
        [TableCell(method, value=method), *(TableCell(task.state(method) or "–") for task in scores.tasks)]
        for method in scores.methods
    ]
    return ScoreTable("Runs", [Head("method"), *(Head(task.name) for task in scores.tasks)], rows)


def cost_table(scores: StudyScores) -> ScoreTable:
    """What the runs took, by method and kind of device."""
    found: dict[tuple[str, str], dict[str, JudgedRun]] = {}
    for task in scores.tasks:
        for method, runs in task.runs.items():
            for run in runs.values():
                found.setdefault((method, device_of(run.run.record)), {})[run.cell.id] = run
    rows = []
    for (method, device), runs in found.items():
        records = [run.run.record for run in runs.values()]
        processes = [finite((record.get("environment") or {}).get("processes")) or 1 for record in records]
        seconds = [
            (finite(record.get("seconds")) or 0.0) * count for record, count in zip(records, processes, strict=True)
        ]
        memory = [size for record in records if (size := _memory(record)) is not None]
        pace = [each for record in records if (each := finite(record.get("examples_per_second"))) is not None]
        burnt = [read_emissions(run.run.path / EMISSIONS) for run in runs.values()]
        kwh = [each["kwh"] for each in burnt if each is not None]
        rows.append(
            [
                TableCell(method, value=method),
                TableCell(device, value=device),
                TableCell(str(len(runs)), value=str(len(runs))),
                _plain(math.fsum(seconds) / 3600, ".2f"),
                _plain(max(memory, default=math.nan), ",.0f"),
                _plain(float(np.mean(pace)) if pace else math.nan, ",.1f"),
                _plain(math.fsum(kwh) if len(kwh) == len(burnt) else math.nan, ".3f"),
            ]
        )
    heads = [Head("method"), Head("device"), Head("runs", "", True)]
    heads += [
        Head("device-hours", "of whole runs, times the processes of each", True),
        Head("peak MB", "the highest of all runs: of the accelerator, or else of the process", True),
        Head("examples/s", "mean over runs", True, "descending"),
        Head("kWh", "where codecarbon measured every run", True),
    ]
    return ScoreTable("Cost", heads, rows)


def search_table(searches: Sequence[Found], file: StudyFile) -> ScoreTable | None:
    """What was searched for each method, by how many trials, and what won; None where nothing was."""
    if not searches:
        return None
    rows = []
    for each in searches:
        best, chosen = each.best, each.chosen
        given_up = f"{each.given_up} given up" if each.given_up else ""
        hours = math.fsum(trial.state.seconds or 0.0 for trial in each.trials) / 3600
        rows.append(
            [
                TableCell(each.group.name, value=each.group.name),
                TableCell(f"{len(each.trials)} of {file.trials}", given_up, str(len(each.trials))),
                _plain(hours, ".2f"),
                TableCell(told_flags(chosen) if chosen is not None else "not known yet"),
                TableCell("–") if best is None else TableCell(f"{best.score:.4f}", best.key, repr(best.score)),
            ]
        )
    heads = [Head("runs"), Head("trials", "asked for", True), Head("hours", "of all trials", True), Head("chosen")]
    heads.append(Head("score", "of the best trial, on the share of train held out", True))
    caption = (
        f"Searched: {searched(file)}; trials are judged on {file.hold_out:g} of train, and the best flags trained anew"
    )
    return ScoreTable(caption, heads, rows)


def _plain(value: float, form: str = ".4f") -> TableCell:
    return TableCell(format(value, form), value=repr(value)) if math.isfinite(value) else TableCell("–")


def _memory(record: Mapping[str, Any]) -> float | None:
    peak = record.get("peak_memory") or {}
    device = finite(peak.get("device_mb"))
    return finite(peak.get("process_mb")) if device is None else device


# --- the files of numbers -------------------------------------------------------------------------------------------


def table_csv(scores: StudyScores, name: str) -> str:
    """Tidy: one line a run and metric, every number in full; of a run that is not there one line with why."""
    axes = list(dict.fromkeys(axis for labels in scores.axes.values() for axis in labels if axis != "method"))
    head = ["study", "task", "split", "rows", "method", *axes, "seed", "run", "state", "metric", "value"]
    lines = []
    for task in scores.tasks:
        for method, runs in task.runs.items():
            for seed, run in runs.items():
                own = [
                    name,
                    task.name,
                    task.split,
                    len(run.predictions),
                    *_labels(scores, method, axes),
                    seed,
                    run.run.name,
                ]
                costs = {"seconds": finite(run.run.record.get("seconds")), "peak_memory_mb": _memory(run.run.record)}
                costs["examples_per_second"] = finite(run.run.record.get("examples_per_second"))
                values = {**run.values, **{key: value for key, value in costs.items() if value is not None}}
                lines += [[*own, "done", key, repr(float(value))] for key, value in values.items()]
        for method, seeds in task.absent.items():
            lines += [
                [name, task.name, task.split, "", *_labels(scores, method, axes), seed, "", reason, "", ""]
                for seed, reason in seeds.items()
            ]
    return csv_table(head, lines)


def _labels(scores: StudyScores, method: str, axes: Sequence[str]) -> list[Any]:
    labels = scores.axes[method]
    return [labels.get("method", method), *(labels.get(axis, "") for axis in axes)]


def tests_csv(verdicts: Verdicts) -> str:
    """Every difference with its interval, p and P(A>B); then the tests over tasks."""
    head = ["test", "task", "metric", "method", "baseline", "seeds", "difference", "low", "high", "p", "p_holm"]
    head += ["p_a_above_b", "p_a_above_b_low", "p_a_above_b_high", "matters", "bold", "interval_only", "exploratory"]
    head += ["resolvable", "statistic"]
    lines = []
    for metric in verdicts.metrics:
        for each in verdicts.findings[metric]:
            d = each.found
            numbers = [d.value, d.low, d.high, d.p, each.adjusted, d.won.value, d.won.low, d.won.high]
            marks = [d.meaningful, each.bold, each.interval_only, each.exploratory]
            own = ["sign flip", each.task, each.key, each.method, each.baseline, d.seeds]
            lines.append([*own, *map(_full, numbers), *(str(mark).lower() for mark in marks), _full(d.resolvable), ""])
        overall = verdicts.overall[metric]
        blank, exploratory = [""] * 6, str(metric != verdicts.metrics[0]).lower()
        if overall.friedman is not None:
            f = overall.friedman
            own = ["Iman-Davenport", "all", metric, "", "", "", "", "", "", _full(f.p), ""]
            lines.append([*own, *blank, exploratory, "", _full(f.f)])
        for method, p in overall.p.items():
            own = ["Wilcoxon", "all", metric, method, "", "", "", "", "", _full(p), _full(overall.adjusted[method])]
            lines.append([*own, *blank, exploratory, "", ""])
        for method, each in overall.bayes.items():
            for state, share in vars(each).items():
                own = [f"Bayesian signed rank: {state}", "all", metric, method, *[""] * 7]
                lines.append([*own, *blank, exploratory, "", _full(share)])
    return csv_table(head, lines)


def _full(value: float) -> str:
    return repr(float(value)) if not math.isnan(value) else ""


def read_paper(path: Path) -> Paper | None:
    """Published numbers: columns method, task, metric and mean, and sd and source where they are known; None without a file.

    Raises:
        UserError: it cannot be read as that.
    """
    if not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return {
                (r["task"], r["method"], r["metric"]): (float(r["mean"]), float(r["sd"]) if r.get("sd") else None)
                for r in csv.DictReader(file)
            }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as problem:
        raise UserError(
            f"{str(path)!r} cannot be read ({type(problem).__name__}: {problem}): it needs the columns method, task, "
            "metric and mean, and a number in the last."
        ) from None


def resolvable(verdicts: Verdicts) -> str:
    """The smallest difference that these rows and seeds resolve, in words; empty where nothing was compared."""
    first = verdicts.findings[verdicts.metrics[0]] if verdicts.metrics else []
    words = []
    for task in dict.fromkeys(each.task for each in first):
        sizes = [each.found.resolvable for each in first if each.task == task and math.isfinite(each.found.resolvable)]
        words += [f"{task} {float(np.median(sizes)):.4f}"] if sizes else []
    return ", ".join(words)
