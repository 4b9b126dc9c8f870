"""What a card says of each class: a table of bounded length for each split, and what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.evaluation.class_scores import class_scores
from logitmix_hf.evaluation.predictions import Predictions
from logitmix_hf.reporting.class_lines import class_cells, named, summary
from logitmix_hf.tables import markdown_text

MOST_ROWS = 30
MOST_COLUMNS = 10
"""Classes up to which a card shows the confusion matrix in numbers."""
MOST_PAIRS = 10


@dataclass(frozen=True)
class ClassesOfSplit:
    """One split; every text is Markdown already.

    rows: under ``class_lines.HEADS``, those of lowest F1 where there are more than ``MOST_ROWS``; more: that in words.
    square: the confusion matrix with its heads, or none; pairs: those confused most, where there is no matrix.
    """

    where: str
    summary: str
    rows: Sequence[Sequence[str]] = ()
    more: str = ""
    heads: Sequence[str] = ()
    square: Sequence[Sequence[str]] = ()
    pairs: Sequence[Sequence[str]] = ()


def classes_of_split(where: str, p: Predictions, metrics: Sequence[str], bins: int) -> ClassesOfSplit | None:
    """None without labels or rows; of a regression the line about its mean alone."""
    if p.labels is None or not len(p):
        return None
    found, line = class_scores(p, bins), markdown_text(summary(p, metrics))
    if found is None:
        return ClassesOfSplit(where, line)
    order, more = list(range(len(found))), ""
    if len(found) > MOST_ROWS:
        order = found.weakest()[:MOST_ROWS]
        more = f"These are the {MOST_ROWS} of {len(found):,} classes with the lowest F1; `eval_results.json` has all."
    rows = [[markdown_text(cell) for cell in class_cells(found, k)] for k in order]
    if found.several:
        return ClassesOfSplit(where, line, rows, more)
    names = [markdown_text(named(name)) for name in found.names]
    if found.confusion is not None and len(found) <= MOST_COLUMNS:
        square = [
            [name, *(f"{count:,}" for count in counts)]
            for name, counts in zip(names, found.confusion.tolist(), strict=True)
        ]
        return ClassesOfSplit(where, line, rows, more, ["true class", *(f"as {name}" for name in names)], square)
    pairs = [(names[true], names[said], f"{count:,}") for true, said, count in found.confused[:MOST_PAIRS]]
    return ClassesOfSplit(where, line, rows, more, pairs=pairs)
