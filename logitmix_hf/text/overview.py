"""What texts were read, in a line before training, in a second what is odd about them, and all of it as ``data.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from logitmix_hf.data.facts import SplitRows, data_facts, fact_lines
from logitmix_hf.data.left_out import left_out_facts
from logitmix_hf.data.overview import label_summary, split_counts
from logitmix_hf.evaluation.predictions import MULTI
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.text.data import TextData


def overview(
    data: TextData,
    cut: int,
    max_length: int,
    facts: Mapping[str, Any] | None = None,
    windows: Windows | None = None,
) -> list[str]:
    """``classes: 'bad' 310, 'good' 402 · 23 held out · 4 texts cut at 128 tokens``, and what is odd in a second line.

    Args:
        cut: rows of all splits that are longer than ``max_length`` tokens.
        facts: those of :func:`text_facts`, where they are known already.
        windows: what longer rows are read in; None: they are cut.
    """
    first = next(iter(data.splits.values()))
    parts = [label_summary(_labels(first, data.problem), data.label_names, data.problem), *split_counts(data)]
    if cut:
        how = "" if windows is None else f", {windows.overlap} shared"
        what = "cut at" if windows is None else "read in windows of"
        parts.append(f"{cut:,} texts {what} {max_length} tokens{how}")
    odd = fact_lines(text_facts(data) if facts is None else facts)
    return [" · ".join(parts), *([" · ".join(odd)] if odd else [])]


def text_facts(
    data: TextData,
    cut: Mapping[str, int] | None = None,
    max_length: int | None = None,
    windows: Windows | None = None,
) -> dict[str, Any]:
    """:func:`logitmix_hf.data.facts.data_facts` of texts, which also counts ``empty_texts`` and, where known, those ``cut``
    or read ``in_windows``.

    Two rows say the same where their texts differ by case and white space alone. Languages are not guessed.

    Args:
        cut: by split, how many rows are longer than ``max_length`` tokens; None: not looked at.
        windows: what these are read in; None: they are cut.
    """
    splits = {}
    for name, split in data.splits.items():
        columns = [split.data.column(column).to_pylist() for column in data.columns]
        # Without what two texts that say the same may differ in.
        texts = [[" ".join(text.split()).casefold() for text in column] for column in columns]
        more: dict[str, int] = {"empty_texts": sum(column.count("") for column in texts)}
        if cut is not None:
            more["cut" if windows is None else "in_windows"] = cut.get(name, 0)
        rows = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
        splits[name] = SplitRows(len(split), _labels(split, data.problem), rows, more)
    held = sum(len(split) for split in data.validation.values())
    kept = len(data.train) if data.train is not None else 0
    return data_facts(
        splits,
        data.label_names,
        data.problem,
        columns=list(data.columns),
        held_out_share=held / (held + kept) if "share of train" in data.validation_note else None,
        validation=data.validation_note,
        max_length=max_length,
        left_out=left_out_facts(data.left_out),
        notes=list(data.notes),
    )


def _labels(split: Any, problem: str) -> np.ndarray | None:
    if "labels" not in split.column_names:
        return None
    column: pa.ChunkedArray = split.data.column("labels")
    return np.array(column.to_pylist()) if problem == MULTI else column.to_numpy()
