"""The table that a command ends with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logitmix_hf.errors import printable
from logitmix_hf.tables import aligned_table

WIDTH = 100


def result_row(
    method: str,
    results: Mapping[str, Any],
    metric: str,
    *,
    seconds: float | None,
    folder: str,
    prefix: str = "eval",
    intervals: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One row of the table from the content of ``eval_results.json``.

    Args:
        method: its name, with the site where that matters (``logitmix layer.3``).
        results: ``eval_accuracy``, ``eval_ece`` …
        metric: the headline's name without the prefix.
        seconds: of the whole run.
        folder: where the run is.
        prefix: of the keys; MNLI's second split has ``eval_mm``.
        intervals: the content of ``intervals.json``, where it is of these results.
    """
    keys = (metric, "samples", "confidence_gap", "ece", "oe", "nll", "true_calibration_error", "bayes_accuracy")
    values = {key: results.get(f"{prefix}_{key}") for key in keys}
    score = values.pop(metric)
    ends, level = ((intervals or {}).get(prefix) or {}).get(metric), (intervals or {}).get("level")
    told = {"interval": ends, "level": level} if isinstance(ends, list) and len(ends) == 2 and None not in ends else {}
    return {"method": method, "metric": metric, "score": score, **told, **values, "seconds": seconds, "folder": folder}


def results_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as aligned text of at most 100 columns.

    A row has ``method``, ``samples`` ("n"), ``metric`` (name of the headline score), ``score``, its ``interval``, ``ece``,
    ``confidence_gap`` ("gap", mean confidence minus accuracy), ``oe``, ``nll``, ``seconds``, ``folder`` and, where the data's
    posterior is known, ``true_calibration_error`` ("true error") and ``bayes_accuracy`` ("Bayes acc"); a column without any
    value is left out. Where folders, then intervals, then seconds do not fit beside the numbers, they follow below, uncut.
    """
    level = next((row["level"] for row in rows if _known(row.get("level"))), 0.95)
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        ("method", "method", str),
        ("n", "samples", lambda value: f"{value:,.0f}"),
        (metrics[0].replace("_", " ") if len(metrics) == 1 else "score", "score", _number),
        (f"{100 * level:.4g} %", "interval", lambda ends: f"[{_number(ends[0])}, {_number(ends[1])}]"),
        ("ECE", "ece", _number),
        ("gap", "confidence_gap", lambda value: f"{value:+.4f}"),
        ("OE", "oe", _number),
        ("true error", "true_calibration_error", _number),
        ("Bayes acc", "bayes_accuracy", _number),
        ("NLL", "nll", _number),
        ("seconds", "seconds", lambda value: f"{value:.0f}" if value >= 10 else f"{value:.1f}"),
        ("folder", "folder", lambda value: os.fspath(value)),
    ]
    scored = 2 if any(_known(row.get("samples")) for row in rows) else 1
    used = [column for column in columns if any(_known(row.get(column[1])) for row in rows)]
    cells = [[form(row[key]) if _known(row.get(key)) else "–" for _, key, form in used] for row in rows]
    if len(metrics) > 1:
        # Different scores under one head: each says its own name.
        for line, row in zip(cells, rows, strict=True):
            line[scored] += f" {row['metric']}"
    heads = [head for head, _, _ in used]
    align = "".join("l" if key in ("method", "folder") else "r" for _, key, _ in used)
    below: list[str] = []
    for key, name in (("folder", "folder"), ("interval", f"{100 * level:.4g} % interval"), ("seconds", "seconds")):
        text = aligned_table(heads, cells, align)
        place = next((place for place, column in enumerate(used) if column[1] == key), None)
        if place is None or max(map(len, text.splitlines())) <= WIDTH:
            continue
        below = [*_below(name, [(line[0], line[place]) for line in cells]), *below]
        used, heads = used[:place] + used[place + 1 :], heads[:place] + heads[place + 1 :]
        cells, align = [line[:place] + line[place + 1 :] for line in cells], align[:place] + align[place + 1 :]
    text = aligned_table(heads, cells, align)
    return "\n".join([text, "", *map(printable, below)]) if below else text


def _below(name: str, values: Sequence[tuple[str, str]]) -> list[str]:
    """What had no room in the table: one line where all rows have the same."""
    if len({value for _, value in values}) == 1:
        return [f"{name}: {values[0][1]}"]
    of = "" if name == "folder" else f", {name}"
    width = max(len(method) for method, _ in values) + len(of) + 2
    return [f"{method + of + ':':<{width}}{value}" for method, value in values]


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _number(value: float) -> str:
    return f"{value:.4f}"
