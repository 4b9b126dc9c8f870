"""How each class was answered, for a terminal: a few lines, however many classes and splits there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from logitmix_hf.errors import listed
from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.evaluation.class_scores import ClassScores, balance, baseline, class_scores
from logitmix_hf.evaluation.never_predicted import never_predicted
from logitmix_hf.evaluation.predictions import MULTI
from logitmix_hf.evaluation.scores import task_scores
from logitmix_hf.reporting.table import WIDTH
from logitmix_hf.tables import aligned_table

MOST_LINES = 12
"""That the terminal has of all classes of all splits together."""
MOST_SPLITS = 2
"""Splits that are told of, each in a line or two; the files have all."""
HEADS = ("class", "rows", "precision", "recall", "F1", "ECE")


def class_lines(
    splits: Mapping[str, Predictions], metrics: Sequence[str], bins: int = 15
) -> tuple[list[str], list[str]]:
    """What stands before the last table, and what stands after it as a warning: ``MOST_LINES`` lines at most, with an empty
    one between the first and the table.

    Before it: of the first split a table of its classes, the weakest alone where all have no room; of each split macro-F1,
    balanced accuracy and the baseline. After it: the lines of :func:`never_predicted`.

    Args:
        splits: what each is called to its predictions; without labels or rows nothing is told of it.
        metrics: the task's scores, headline first.
        bins: of ECE.
    """
    splits = {name: p for name, p in splits.items() if p.labels is not None and len(p)}
    several = len(splits) > 1

    def each(tell: Callable[[Predictions], str], more: str) -> list[str]:
        found = {name: line for name, p in splits.items() if (line := tell(p))}
        told = [f"{named(name)}: {line}" if several else line for name, line in list(found.items())[:MOST_SPLITS]]
        return told + ([f"{len(found) - MOST_SPLITS} {more}"] if len(found) > MOST_SPLITS else [])

    below = each(lambda p: summary(p, metrics), "more splits: see eval_results.json and test_results.json.")
    silent = each(never_predicted, "more splits have classes that are never predicted: see the card.")
    found = class_scores(next(iter(splits.values())), bins) if splits else None
    room = MOST_LINES - 1 - len(below) - len(silent)
    table = [] if found is None else _table(found, room, named(next(iter(splits))) if several else "")
    return [*table, *below], silent


def named(name: str) -> str:
    """A name as a line has room for it."""
    return listed([name], quote=False)


def summary(p: Predictions, metrics: Sequence[str]) -> str:
    """Macro-F1 and balanced accuracy, or of a regression R², RMSE and MAE, and what needs no model beside them."""
    if p.labels is None:
        return ""
    if p.problem == REGRESSION:
        names = ("r2", "rmse", "mae")
        own, mean = task_scores(p.problem, names, p.predictions, p.labels), baseline(p, names)
        return (
            f"R² {own['r2']:.4f}, RMSE {own['rmse']:.4g}, MAE {own['mae']:.4g}; always saying the mean gives RMSE"
            f" {mean['rmse']:.4g}, MAE {mean['mae']:.4g}."
        )
    own, none = balance(p), baseline(p, metrics)
    told = f"F1 macro {own['f1_macro']:.4f}"
    if "balanced_accuracy" in own:
        told += f", balanced accuracy {own['balanced_accuracy']:.4f}"
    scores = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in none.items() if name != "nll")
    always = "each label's more frequent side"
    if p.problem != MULTI:
        always = listed([p.class_names[int(np.bincount(p.labels).argmax())]])
    return f"{told}. Always {always}: {scores}; each with its frequency: NLL {none['nll']:.4f}."


def _table(found: ClassScores, room: int, where: str) -> list[str]:
    """At most ``room`` lines, the heads first; confused pairs stand in columns of the table, or else in a line below it."""
    square, pairs = _squared(found), ""
    if square is None and found.confused:
        pairs = f"Confused most: {', '.join(_pair(found, *pair) for pair in found.confused[:3])}."
    room -= 1 + bool(pairs)
    order, more = list(range(len(found))), ""
    if len(found) > room:
        order = found.weakest()[: room - 1]
        more = f"… {len(found) - len(order)} more classes; these have the lowest F1. eval_results.json has all."
    cells = [class_cells(found, k) for k in order]
    heads = [f"{where}: class" if where else "class", *HEADS[1:]]
    if square is not None:
        heads = [*heads, *(f"as {short(name)}" for name in found.names)]
        cells = [[*line, *square[k]] for k, line in zip(order, cells, strict=True)]
    text = aligned_table(heads, cells, "l" + "r" * (len(heads) - 1), rule=False)
    return [*text.split("\n"), *([more] if more else []), *([pairs] if pairs else [])]


def class_cells(found: ClassScores, k: int) -> list[str]:
    """The cells under :data:`HEADS` of class ``k``; a dash where there is nothing to divide by."""
    defined = found.defined
    scores = [
        f"{getattr(found, key)[k]:.4f}" if defined[key][k] else "–" for key in ("precision", "recall", "f1", "ece")
    ]
    return [named(found.names[k]), f"{found.rows[k]:,}", *scores]


def _squared(found: ClassScores) -> list[list[str]] | None:
    """By class, how many of its rows were answered as each; None where that is too wide beside the scores."""
    if found.several or found.confusion is None:
        return None
    name = max(len(named(name)) for name in found.names)
    wide = sum(2 + max(3 + len(short(one)), 6) for one in found.names)
    if name + 42 + wide > WIDTH:
        return None
    return [[f"{count:,}" for count in line] for line in found.confusion.tolist()]


def short(name: str) -> str:
    """A name as the head of a narrow column has room for it."""
    return name if len(name) <= 12 else name[:11] + "…"


def _pair(found: ClassScores, true: int, said: int, rows: int) -> str:
    return f"{listed([found.names[true]])} as {listed([found.names[said]])} {rows:,}"
