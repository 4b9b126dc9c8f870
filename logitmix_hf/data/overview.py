"""What was read, in a line before training: classes with their counts, and what is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION

_SHOWN = 8  # classes by name


def label_summary(labels: Any, names: Sequence[str], problem: str) -> str:
    """``classes: 'bad' 310, 'good' 402``, or the range and mean of values.

    Args:
        labels: (N,) int64 or float, or (N, C) of 0/1, as ``problem`` has it.
    """
    labels = np.asarray(labels)
    if problem == REGRESSION:
        return f"values: {labels.min():.4g} to {labels.max():.4g}, mean {labels.mean():.4g} ({len(labels):,} rows)"
    counts = labels.sum(0).astype(int) if problem == MULTI else np.bincount(labels, minlength=len(names))
    found = [
        f"{name if len(name) <= 40 else name[:37] + '…'!r} {count:,}" for name, count in zip(names, counts, strict=True)
    ]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    line = f"{'labels' if problem == MULTI else 'classes'}: {', '.join(found[:_SHOWN])}{more}"
    if problem == MULTI:
        line += f" of {len(labels):,} rows"
    single = int((counts == 1).sum())
    return line + (f" · {single} of one row" if single else "")


def split_counts(data: Any) -> list[str]:
    """``23 held out``, ``872 validation``, ``50 for the temperature``: what is not trained on, of text or image data."""
    held = "share of train" in data.validation_note
    others = [(name, split) for name, split in data.validation.items() if split is not next(iter(data.splits.values()))]
    counts = [f"{len(split):,} {'held out' if held and name == 'validation' else name}" for name, split in others]
    return counts + ([f"{len(data.calibration):,} for the temperature"] if data.calibration is not None else [])
