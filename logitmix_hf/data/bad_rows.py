"""Rows that nobody can train or judge on, left out where that is asked for: which, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from logitmix_hf.data.cells import unreadable_cells
from logitmix_hf.data.labels import kind_of_label
from logitmix_hf.data.left_out import LeftOut, first_of
from logitmix_hf.data.rows import Columns, not_text
from logitmix_hf.errors import UserError


def without_bad_rows(
    split: Columns, columns: Sequence[str], label: str, regression: bool | None
) -> tuple[Columns, np.ndarray, list[LeftOut]]:
    """The split without rows that are broken, have no label or text, or a label that is none beside the others.

    Args:
        columns: of the texts.
        label: column of the label.
        regression: as :func:`logitmix_hf.data.labels.read_labels`.

    Returns:
        The rows that are left, their numbers in ``split`` (from 0), and the others.

    Raises:
        UserError: where more than half of the rows are bad, which no leaving out mends.
    """
    bad = dict(split.broken)
    for name in columns:
        for row, value in enumerate(_raw(split, name)):
            if wrong := _wrong_text(value, name):
                bad.setdefault(row, wrong)
    labels = _raw(split, label)
    told = {
        row: value for row, value in enumerate(labels) if value is not None and value == value and str(value).strip()
    }
    for row in range(len(split)):
        if row not in told:
            bad.setdefault(row, "no label")
    for row, wrong in _wrong_labels(told, split.cells, regression).items():
        bad.setdefault(row, wrong)
    if not bad:
        return split, np.arange(len(split)), []
    rows = [LeftOut(split.places[row] if split.places else f"row {row + 1}", bad[row]) for row in sorted(bad)]
    if 2 * len(bad) > len(split):
        raise UserError(
            f"{split.where}: {len(bad)} of {len(split)} rows cannot be used, more than --on_bad_row skip leaves out (half):"
            f" {first_of(rows)}. Mend them, or see --text_columns and --label_column."
        )
    kept = np.setdiff1d(np.arange(len(split)), [*bad])
    where = f"{split.where} without {len(bad)} skipped row{'s' * (len(bad) > 1)}"  # later messages count what is left
    return replace(split.take(kept), where=where), kept, rows


def _raw(split: Columns, name: str) -> Sequence[Any]:
    """A column as it is: strings that are no text are judged here, and not refused."""
    return split.mixed[name] if name in split.mixed else split.values(name)


def _wrong_text(value: Any, column: str) -> str:
    if value is None:
        return f"no text in column {column!r}"
    if isinstance(value, str):
        wrong = not_text(value)
        return wrong and f"column {column!r} {wrong}"
    return f"column {column!r} holds no text"


def _wrong_labels(told: dict[int, Any], cells: bool, regression: bool | None) -> dict[int, str]:
    """Row -> why its label is none, of those that are there."""
    found = {
        row: f"label {wrong}" for row, value in told.items() if isinstance(value, str) and (wrong := not_text(value))
    }
    values = {row: value for row, value in told.items() if row not in found}
    if cells:
        bad = unreadable_cells(list(values.values()), regression)
        return found | {row: bad[value] for row, value in values.items() if value in bad}
    kinds = {row: _kind(value) for row, value in values.items()}
    usual, count = (
        ("number", len(told))
        if regression
        else max(Counter(kinds.values()).items(), key=lambda one: one[1], default=("", 0))
    )
    if 2 * count <= len(told):
        return found
    others = {
        row: "not finite" if kind == "infinite" else f"no {usual}" for row, kind in kinds.items() if kind != usual
    }
    return found | {row: f"label is {what}" for row, what in others.items()}


def _kind(value: Any) -> str:
    kind = kind_of_label(value)
    if kind in ("integer", "real"):
        return "number" if math.isfinite(value) else "infinite"
    return "list with a gap" if kind == "list" and None in value else kind
