"""How each class was answered, as tables of a report: a part of the page for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logitmix_hf.evaluation.class_scores import ClassScores, class_scores
from logitmix_hf.evaluation.predictions import Predictions
from logitmix_hf.reporting.class_lines import class_cells, named, short, summary
from logitmix_hf.reporting.comparison.scores import Options, Scored, ScoredVariant
from logitmix_hf.reporting.comparison.tables import Head, ScoreTable, TableCell
from logitmix_hf.reporting.comparison.temperature import OWN

MOST_RUNS, MOST_CLASSES = 24, 20
"""Of a task's runs those that are told of, the first seed of every method before the second; of a run's classes the largest."""
_SCORES = ("rows", "precision", "recall", "f1", "ece")
_HEADS = [
    Head("class"),
    Head("rows", "rows that belong to the class", True, "descending", starts=True),
    Head("precision", "share of the rows answered so that belong to the class", True),
    Head("recall", "share of the class's rows that are answered so", True),
    Head("F1", "harmonic mean of precision and recall", True),
    Head("ECE", "calibration error of the probability of this class alone", True, "descending"),
]
_FOUR = (
    ("hits", "rows that have the label and were given it"),
    ("false alarms", "rows that were given the label and lack it"),
    ("misses", "rows that have the label and were not given it"),
    ("rightly none", "rows that lack the label and were not given it"),
)


@dataclass(frozen=True)
class RunClasses:
    """One run: its scores in which every class counts the same, what is left out, and the tables."""

    name: str
    line: str
    tables: Sequence[ScoreTable]


def classes_of_runs(
    title: str, methods: Sequence[ScoredVariant], metrics: Sequence[str], options: Options
) -> tuple[list[RunClasses], str]:
    """Of at most ``MOST_RUNS`` runs, and how many more there are in words; nothing of a regression.

    Predictions are those of the run's files, so every number is that of ``eval_results.json`` with the report's bins.
    """
    placed = [(place, run) for method in methods for place, run in enumerate(method.runs)]
    ordered = [run for _, run in sorted(placed, key=lambda one: one[0])]
    parts = []
    for run in ordered[:MOST_RUNS]:
        if (found := class_scores(run.member.predictions, options.bins)) is None:
            return [], ""
        parts.append(_of_run(title, run, found, metrics))
    more = len(ordered) - len(parts)
    return parts, f"Runs that are not told of here: {more}; eval_results.json of each has the numbers." if more else ""


def _of_run(title: str, run: Scored, found: ClassScores, metrics: Sequence[str]) -> RunClasses:
    p, order, line = run.member.predictions, list(range(len(found))), ""
    if len(found) > MOST_CLASSES:
        order = np.argsort(-found.rows, kind="stable")[:MOST_CLASSES].tolist()
        left = len(found) - MOST_CLASSES
        rows = int(found.rows.sum() - found.rows[order].sum())
        what = "labels" if found.several else "rows"
        line = f" These are the {MOST_CLASSES} largest classes; the other {left:,} have {rows:,} {what}."
    if run.tempered is not None and run.tempered.source == OWN:
        line += " Probabilities are after the run's own temperature."
    caption = f"{title}: classes, {run.name}"
    scores = ScoreTable(caption, _HEADS, [[_name(found, k), *_scores(found, k)] for k in order])
    counts = _decisions(caption, p, found, order) if found.several else _confusion(caption, p, found, order)
    return RunClasses(run.name, summary(p, metrics) + line, [scores, counts])


def _name(found: ClassScores, k: int) -> TableCell:
    return TableCell(named(found.names[k]), value=found.names[k])


def _scores(found: ClassScores, k: int) -> list[TableCell]:
    texts = class_cells(found, k)[1:]
    return [
        TableCell(text, value=repr(float(getattr(found, key)[k])) if text != "–" else "")
        for key, text in zip(_SCORES, texts, strict=True)
    ]


def _counts(values: Sequence[int]) -> list[TableCell]:
    return [TableCell(f"{value:,}", value=str(value)) for value in values]


def _confusion(caption: str, p: Predictions, found: ClassScores, order: list[int]) -> ScoreTable:
    """Rows by true class, columns by answer; the answers that have no column stand together in the last one."""
    from sklearn.metrics import confusion_matrix

    square = confusion_matrix(p.labels, p.predictions, labels=order)
    heads = [
        Head(f"as {short(name)}", f"answered as {name}", True, "descending", not place, f"as {named(name)}")
        for place, name in enumerate(found.names[k] for k in order)
    ]
    if len(found) > len(order):
        square = np.column_stack([square, found.rows[order] - square.sum(axis=1)])
        heads.append(Head("as another", "answered as a class that has no column", True, "descending", starts=True))
    rows = [[_name(found, k), *_counts(line)] for k, line in zip(order, square.tolist(), strict=True)]
    return ScoreTable(f"{caption}: rows by true class and answer", [Head("true class"), *heads], rows)


def _decisions(caption: str, p: Predictions, found: ClassScores, order: list[int]) -> ScoreTable:
    """Of several labels a row: the four counts of each label's yes and no."""
    has, said = np.asarray(p.labels)[:, order] == 1, p.predictions[:, order] == 1
    four = [(one & other).sum(axis=0) for one, other in ((has, said), (~has, said), (has, ~said), (~has, ~said))]
    heads = [Head(name, title, True, "descending", starts=not place) for place, (name, title) in enumerate(_FOUR)]
    rows = [[_name(found, k), *_counts(line)] for k, line in zip(order, np.stack(four, axis=1).tolist(), strict=True)]
    return ScoreTable(f"{caption}: decisions by label", [Head("class"), *heads], rows)
