"""What a card says of data that belongs to no class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from logitmix_hf.evaluation.ood import OOD_MEASURES, OOD_SCORES
from logitmix_hf.reporting.numbers import finite_cells
from logitmix_hf.tables import markdown_text


def ood_rows(splits: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Data of no class, its rows, the score that tells it from the own data, and each measure of that; as cells.

    Args:
        splits: what ``run.json`` says of such data, by name. results: content of ``eval_results.json``.
    """
    rows = []
    for name, split in splits.items():
        for score, title in OOD_SCORES.items():
            if cells := finite_cells(results, [f"{name}_{score}_{measure}" for measure in OOD_MEASURES]):
                called = markdown_text(name.removeprefix("ood_"))
                rows.append((called, f"{split.get('rows') or 0:,}", title, *cells))
    return rows
