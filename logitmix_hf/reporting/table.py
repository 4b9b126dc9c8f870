"""The table that a command ends with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logitmix_hf.tables import aligned_table

WIDTH = 100


def result_row(
    method: str, results: Mapping[str, Any], metric: str, *, seconds: float | None, folder: str, prefix: str = "eval"
) -> dict[str, Any]:
    """One row of the table from the content of ``eval_results.json``.

    Args:
        method: its name, with the site where that matters (``logitmix layer.3``).
        results: ``eval_accuracy``, ``eval_ece`` …
        metric: the headline's name without the prefix.
        seconds: of the whole run.
        folder: where the run is.
        prefix: of the keys; MNLI's second split has ``eval_mm``.
    """
    keys = (metric, "ece", "oe", "nll", "true_calibration_error", "bayes_accuracy")
    values = {key: results.get(f"{prefix}_{key}") for key in keys}
    score = values.pop(metric)
    return {"method": method, "metric": metric, "score": score, **values, "seconds": seconds, "folder": folder}


def results_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as aligned text of at most 100 columns.

    A row has ``method``, ``metric`` (name of the headline score), ``score``, ``ece``, ``oe``, ``nll``, ``seconds``,
    ``folder`` and, where the data's posterior is known, ``true_calibration_error`` ("true error") and
    ``bayes_accuracy`` ("Bayes acc"); a column without any value is left out. Where the folders do not fit beside the
    numbers, they follow below, uncut.
    """
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        ("method", "method", str),
        (metrics[0].replace("_", " ") if len(metrics) == 1 else "score", "score", _number),
        ("ECE", "ece", _number),
        ("OE", "oe", _number),
        ("true error", "true_calibration_error", _number),
        ("Bayes acc", "bayes_accuracy", _number),
        ("NLL", "nll", _number),
        ("seconds", "seconds", lambda value: f"{value:.0f}" if value >= 10 else f"{value:.1f}"),
        ("folder", "folder", lambda value: os.fspath(value)),
    ]
    used = [column for column in columns if any(_known(row.get(column[1])) for row in rows)]
    cells = [[form(row[key]) if _known(row.get(key)) else "–" for _, key, form in used] for row in rows]
    if len(metrics) > 1:
        # Different scores under one head: each says its own name.
        for line, row in zip(cells, rows, strict=True):
            line[1] += f" {row['metric']}"
    heads = [head for head, _, _ in used]
    align = "".join("l" if key in ("method", "folder") else "r" for _, key, _ in used)
    text = aligned_table(heads, cells, align)
    if max(map(len, text.splitlines())) > WIDTH and heads[-1] == "folder":
        folders = {line[0]: line[-1] for line in cells}
        if len(set(folders.values())) == 1:
            folders = {"folder": cells[0][-1]}
        below = [f"{name + ':':<{max(map(len, folders)) + 2}}{folder}" for name, folder in folders.items()]
        text = "\n".join([aligned_table(heads[:-1], [line[:-1] for line in cells], align), "", *below])
    return text


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _number(value: float) -> str:
    return f"{value:.4f}"
