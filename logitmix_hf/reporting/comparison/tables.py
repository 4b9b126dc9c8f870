"""Tables as values: what a cell says, beside what it is sorted by. HTML and Markdown are written from the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from logitmix_hf.reporting.comparison.columns import Column
from logitmix_hf.reporting.comparison.grouping import JudgedTask
from logitmix_hf.reporting.comparison.scores import AFTER, ScoredVariant
from logitmix_hf.reporting.comparison.significance import ONLY, Judge, remark
from logitmix_hf.tables import csv_table


@dataclass(frozen=True)
class TableCell:
    """text: what it says; small: a second, lesser line; value: to sort by, empty last; strong: in bold; title: why."""

    text: str
    small: str = ""
    value: str = ""
    strong: bool = False
    title: str = ""


@dataclass(frozen=True)
class Head:
    """numeric: right-aligned; first: the order of the first click; starts: a group; plain: where no group stands above."""

    text: str
    title: str = ""
    numeric: bool = False
    first: str = "ascending"
    starts: bool = False
    plain: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """groups: (name, width) above the heads; notes: what was found of each score; remark: of all of them, in view."""

    caption: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[TableCell]]
    groups: Sequence[tuple[str, int]] = ()
    notes: Sequence[str] = field(default_factory=list)
    remark: str = ""


def methods_table(
    caption: str, methods: Sequence[ScoredVariant], columns: Sequence[Column], judge: Judge
) -> ScoreTable:
    """Methods × scores: mean ± standard deviation over the seeds, the best marked where seeds and rows support it."""
    verdicts = {column.key: judge.verdict(column) for column in columns}
    rows = []
    for method in methods:
        cells = [TableCell(method.label, seeds(method), method.label)]
        for column in columns:
            verdict = verdicts[column.key]
            best = verdict if verdict is not None and verdict.best == method.label else None
            value, spread = method.mean(column.key), method.spread(column.key)
            cells.append(
                TableCell(
                    f"{column.write(value)}{ONLY if best is not None and best.interval_only else ''}",
                    f"± {column.write(spread).lstrip('+')}" if spread is not None and math.isfinite(value) else "",
                    repr(value) if math.isfinite(value) else "",
                    best is not None and best.supported,
                    best.words if best else "",
                )
            )
        rows.append(cells)
    starts = _starts(columns)
    heads = [Head("method"), *(_head(column, start) for column, start in zip(columns, starts, strict=True))]
    notes = [
        f"{column.hint or column.head}: {verdict.words}."
        for column in columns
        if (verdict := verdicts[column.key]) is not None
    ]
    told = remark(verdict for verdict in verdicts.values() if verdict is not None)
    return ScoreTable(caption, heads, rows, [("", 1), *_groups(columns)], notes, told)


def _head(column: Column, starts: bool) -> Head:
    way = {1: "; more is better", -1: "; less is better", 0: ""}[column.better]
    first = "descending" if column.better > 0 else "ascending"
    plain = f"{column.head} at T" if column.key.endswith(AFTER) else ""
    return Head(column.head, f"{column.hint or column.head}{way}", True, first, starts, plain)


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    return [(name, len(list(found))) for name, found in groupby(columns, lambda column: column.group)]


def _starts(columns: Sequence[Column]) -> list[bool]:
    return [not number or columns[number - 1].group != column.group for number, column in enumerate(columns)]


def seeds(method: ScoredVariant) -> str:
    """How many runs a method has."""
    return f"{len(method.runs)} seed{'s' if len(method.runs) > 1 else ''}"


def runs_table(caption: str, methods: Sequence[ScoredVariant], columns: Sequence[Column]) -> ScoreTable:
    """Every run by itself, each score with its interval, and where its temperature comes from."""
    rows = []
    for method in methods:
        for run in method.runs:
            seed = "–" if run.member.run.seed is None else str(run.member.run.seed)
            cells = [
                TableCell(run.name, method.label if method.label != run.name else "", run.name),
                TableCell(seed, value=seed if seed != "–" else ""),
            ]
            for column in columns:
                value, interval = run.values.get(column.key, math.nan), run.intervals.get(column.key)
                small = f"{column.write(interval[0])} – {column.write(interval[1])}" if interval else ""
                cells.append(TableCell(column.write(value), small, repr(value) if math.isfinite(value) else ""))
            fitted, caution = ("–", "") if run.tempered is None else (run.tempered.fitted, run.tempered.caution)
            rows.append([*cells, TableCell(fitted, caution, fitted if run.tempered else "")])
    starts = _starts(columns)
    heads = [Head("run"), Head("seed", "", True, starts=True)]
    heads += [_head(column, start) for column, start in zip(columns, starts, strict=True)]
    heads.append(Head("T fitted on", starts=True))
    return ScoreTable(caption, heads, rows, [("", 2), *_groups(columns), ("", 1)])


def results_csv(tasks: Sequence[tuple[JudgedTask, Sequence[ScoredVariant]]]) -> str:
    """One line a run and split, every number in full, with the ends of its interval where there is one."""
    lines, names = [], {}
    for task, methods in tasks:
        for method in methods:
            for run in method.runs:
                record = run.member.run.record
                line: dict[str, object] = {
                    "task": run.member.run.data.get("name"),
                    "split": run.member.split,
                    "rows": task.rows,
                    "method": method.label,
                    "run": run.name,
                    "seed": run.member.run.seed,
                    "device": ((record.get("environment") or {}).get("device") or {}).get("type"),
                    "temperature_source": run.tempered.source if run.tempered else None,
                    "temperature_fitted_on": run.tempered.fitted if run.tempered else None,
                }
                for key, value in run.values.items():
                    line[key] = value
                    if key in run.intervals:
                        line[f"{key}_low"], line[f"{key}_high"] = run.intervals[key]
                lines.append(line)
                names |= dict.fromkeys(line)
    return csv_table(list(names), [[line.get(name) for name in names] for line in lines])
