"""``logitmix study table``: what a study found, as Markdown, LaTeX, two files of numbers, and one page."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE
from logitmix_hf.evaluation.refinement import NLL_REFINED
from logitmix_hf.evaluation.scores import score_names
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.comparison.scores import AFTER
from logitmix_hf.reporting.comparison.significance import few_seeds
from logitmix_hf.reporting.comparison.tables import ScoreTable
from logitmix_hf.reporting.pages.drawing import Picture
from logitmix_hf.reporting.pages.page import check_library, check_target, html_page, markdown_page
from logitmix_hf.reporting.pages.sections import several
from logitmix_hf.reporting.record import now
from logitmix_hf.studies import pictures, tables
from logitmix_hf.studies.latex import latex_tables
from logitmix_hf.studies.manifest import Study
from logitmix_hf.studies.scores import HEADLINE, StudyScores, StudyTask, read_scores
from logitmix_hf.studies.verdicts import DRAWS, Verdicts, judge, metrics_of
from logitmix_hf.version import __version__

FILES = ("study.html", "table.md", "table.tex", "table.csv", "tests.csv")


@dataclass(frozen=True)
class Part:
    """One metric of the page."""

    anchor: str
    title: str
    table: ScoreTable
    line: str
    exploratory: bool
    pictures: Mapping[str, Picture]


def write_table(
    study: Study,
    folder: Path,
    *,
    allow_missing: bool = False,
    strict_versions: bool = False,
    paper: Path | None = None,
    search: ScoreTable | None = None,
    draws: int = DRAWS,
    bins: int = 15,
    rope: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[ScoreTable]:
    """Judge a study and write its files, each whole or not at all; returns the tables of its metrics.

    Args:
        study: of ``manifest.read_study``.
        folder: of the files.
        allow_missing: tell of the runs that are there; else one that is neither done nor diverged is a mistake.
        strict_versions: refuse runs of several versions of a library, of which else a warning tells.
        paper: a file of published numbers, see ``tables.read_paper``; it may be absent.
        search: of ``tables.search_table``.
        draws: of seeds and rows behind each interval. bins: of ECE.
        rope: differences of the first metric up to this size count as none, in a Bayesian test; None: there is no such test.

    Raises:
        UserError: as said above, or the folder holds what is not ours, or nothing can be read.
    """
    check_library()
    check_target(folder, FILES)
    if (other := _study_of(folder)) not in ("", study.name):
        raise UserError(
            f"The output folder {str(folder)!r} holds the table of the study {other!r}; it is left alone. Give another"
            " --output_dir."
        )
    published = None if paper is None else tables.read_paper(paper)
    asked = [str(metric) for metric in study.compare.get("metrics") or [HEADLINE, "eval_nll", "eval_ece"]]
    quick = {HEADLINE, NLL_REFINED, *(name for problem in (SINGLE, MULTI, REGRESSION) for name in score_names(problem))}
    full = any(metric.removeprefix("eval_").removesuffix(AFTER) not in quick for metric in asked)
    scores = read_scores(study, bins, full, say, allow_missing)
    if scores.versions and strict_versions:
        raise UserError(f"{_versions(scores)} Train them again, or leave out --strict_versions.")
    metrics = metrics_of(scores, asked)
    if not metrics:
        raise UserError(f"No run has any of the metrics that compare names: {', '.join(asked)}.")
    if lacking := [name for name in asked if name not in metrics]:
        say(f"No run has {', '.join(lacking)}, which compare names: left out.")
    say(f"{draws:,} draws of seeds and rows")
    verdicts = judge(scores, metrics, draws, bins, rope=rope)
    parts = [_part(scores, verdicts, metric, published, number) for number, metric in enumerate(metrics)]
    values = {
        "title": f"{study.name}: {several(len(scores.methods), 'method')} on {several(len(scores.tasks), 'task')}",
        "generator": f"logitmix_hf {__version__} study table",
        "made": now().replace("T", " ")[:16] + " UTC",
        "parts": parts,
        "warnings": _warnings(scores),
        "cells": tables.cells_table(scores),
        "search": search,
        "cost": tables.cost_table(scores),
        "left_out": scores.missing,
        "reading": _reading(scores, verdicts, draws, bins),
    }
    shown = [part.table for part in parts]
    for line in values["warnings"]:
        say(line)
    if rope is not None and not verdicts.overall[metrics[0]].bayes:
        say(
            "--rope: no test over tasks, which takes six of them and a baseline beside another method that lack no run."
        )
    files = {
        "study.html": html_page("study.html", values),
        "table.md": markdown_page("study.md", values),
        "table.tex": latex_tables([*shown, *([search] if search else [])], [values["title"], *values["warnings"]]),
        "table.csv": tables.table_csv(scores, study.name),
        "tests.csv": tables.tests_csv(verdicts),
    }
    for name, text in files.items():
        write_atomic(folder / name, scrub(text).encode("utf-8"))
    return shown


def _study_of(folder: Path) -> str:
    """Whose table lies in a folder; "" where none does."""
    try:
        with (folder / "table.csv").open(encoding="utf-8", newline="") as lines:
            return next(csv.DictReader(lines), {}).get("study", "")
    except FileNotFoundError:
        return ""


def _part(scores: StudyScores, verdicts: Verdicts, metric: str, paper: tables.Paper | None, number: int) -> Part:
    table = tables.score_table(scores, verdicts, metric, paper)
    drawn = {
        "Differences from the baseline": pictures.forest(verdicts.findings[metric], table.caption),
        "Mean ranks": pictures.rank_plot(verdicts.overall[metric], table.caption),
    }
    line = ""
    if number == 0 and (sizes := tables.resolvable(verdicts)):
        line = f"The smallest differences that these rows and seeds resolve (four times of five): {sizes}."
    kept = {caption: found for caption, found in drawn.items() if found is not None}
    return Part(f"metric-{number + 1}", table.caption, table, line, number > 0, kept)


def _warnings(scores: StudyScores) -> list[str]:
    found = [_versions(scores)] if scores.versions else []
    changed: dict[str, list[StudyTask]] = {}
    for task in scores.tasks:
        if task.changed:
            changed.setdefault(task.name.split(" · ")[0], []).append(task)
    for name, tasks in changed.items():
        seeds = [{seed for runs in task.runs.values() for seed in runs} for task in tasks]
        if sum(map(len, seeds)) == len(set().union(*seeds)) > 1:
            what = (
                "Seeds were judged on other rows or data (--seed draws what is held out of train: give validation data)"
            )
        else:
            what = "The data changed half-way"
        found.append(f"{what}: {name}. There are no tests and no ranks across that.")
    diverged = [f"{m} on {t.name}" for t in scores.tasks for m, s in t.absent.items() if "diverged" in s.values()]
    if diverged:
        found.append(f"Some seeds diverged, and means are of the others, which flatters: {', '.join(diverged)}.")
    return found


def _versions(scores: StudyScores) -> str:
    words = [f"{name} {' and '.join(versions)}" for name, versions in scores.versions.items()]
    return f"The runs were trained with several versions: {', '.join(words)}."


def _reading(scores: StudyScores, verdicts: Verdicts, draws: int, bins: int) -> list[Any]:
    lines = [
        "± is the sample standard deviation over seeds. Differences are of a method and its baseline on the same seeds and "
        "rows, signed so that more is better.",
        f"Intervals: {draws:,} draws of seeds, then rows, at 95 %, widened for few seeds. The p is of an exact test over all "
        "flips of the signs of the seeds' differences.",
        "Bold: better than the baseline, for the interval leaves out 0 and p is below .05, after Holm's correction over "
        "methods and tasks for the first metric. All others are exploratory, and their p is not corrected.",
        few_seeds(each.found.seeds for found in verdicts.findings.values() for each in found),
        "A method that lacks a run has no mean and no rank. A seed that diverged is counted and told.",
        f"After temperature: logits divided by a T that never saw the rows it is judged on. ECE has {bins} bins. The row "
        "“+ T” is the baseline after its temperature: what a method has to beat, since T costs nothing.",
    ]
    if any(task.runs for task in scores.tasks) and len(scores.tasks) < 6:
        lines.append("Fewer than six tasks: ranks, and no test over tasks.")
    return [line for line in lines if line]
