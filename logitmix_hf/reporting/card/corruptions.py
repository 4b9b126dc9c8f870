"""What a card says of corrupted images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from logitmix_hf.evaluation.corruption import PREFIX, SCORES
from logitmix_hf.reporting.numbers import finite_cells


def corruption_facts(record: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """``rows`` of the table, each a corruption (the mean over its severities) or all images together, with accuracy, NLL
    and ECE; and what they are called, where they come from, and whether they are the benchmark's own. Empty where none were
    judged.

    Args:
        record: what ``run.json`` says under ``data.corrupted``. results: content of ``eval_results.json``.
    """
    pools = (results.get("corrupted") or {}).get("pools") or {}
    rows = []
    for name in (*record.get("corruptions", ()), *pools):
        if cells := finite_cells(results, [f"{PREFIX}{name}_{score}" for score in SCORES]):
            title = f"**all {name.removeprefix('all')}**" if name in pools else name.replace("_", " ")
            rows.append((title, *cells))
    return {**record, "rows": rows, "each": record.get("rows"), "fifteen": "all15" in pools} if rows else {}
