"""How each class was answered, as tables of a report: one for the first run of each method."""

from __future__ import annotations

from collections.abc import Sequence

from logitmix_hf.evaluation.class_scores import class_scores
from logitmix_hf.reporting.class_lines import class_cells, named
from logitmix_hf.reporting.comparison.scores import Options, ScoredVariant
from logitmix_hf.reporting.comparison.tables import Head, ScoreTable, TableCell

MOST_METHODS, MOST_ROWS = 12, 100
_SCORES = ("rows", "precision", "recall", "f1", "ece")
_HEADS = [
    Head("class"),
    Head("rows", "rows that belong to the class", True, "descending", starts=True),
    Head("precision", "share of the rows answered so that belong to the class", True),
    Head("recall", "share of the class's rows that are answered so", True),
    Head("F1", "harmonic mean of precision and recall", True),
    Head("ECE", "calibration error of the probability of this class alone", True, "descending"),
]


def class_tables(title: str, methods: Sequence[ScoredVariant], options: Options) -> list[ScoreTable]:
    """Of at most ``MOST_METHODS`` methods, with ``MOST_ROWS`` classes of lowest F1 each; none for a regression."""
    tables = []
    for method in methods[:MOST_METHODS]:
        run = method.runs[0]
        found = class_scores(run.member.predictions, options.bins)
        if found is None:
            return []
        order, more = list(range(len(found))), ""
        if len(found) > MOST_ROWS:
            order, more = found.weakest()[:MOST_ROWS], f", the {MOST_ROWS} of {len(found):,} classes with the lowest F1"
        rows = []
        for k in order:
            texts = class_cells(found, k)[1:]
            values = [
                repr(float(getattr(found, key)[k])) if text != "–" else ""
                for key, text in zip(_SCORES, texts, strict=True)
            ]
            cells = [TableCell(text, value=value) for text, value in zip(texts, values, strict=True)]
            rows.append([TableCell(named(found.names[k]), value=found.names[k]), *cells])
        tables.append(ScoreTable(f"{title}: classes, {run.name}{more}", _HEADS, rows))
    return tables
