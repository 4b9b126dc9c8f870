"""What texts were read, in a line before training, and in a second what is odd about them."""

from __future__ import annotations

from typing import Any

from logitmix_hf.data.overview import label_summary, repeated, split_counts
from logitmix_hf.text.data import TextData


def overview(data: TextData, cut: int, max_length: int) -> list[str]:
    """``classes: 'bad' 310, 'good' 402 · 23 held out · 4 texts cut at 128 tokens``, and where there are any, empty texts
    and repeated rows in a second line.

    Args:
        cut: rows of all splits that are longer than ``max_length`` tokens.
    """
    first = next(iter(data.splits.values()))
    parts = [label_summary(_column(first, "labels"), data.label_names, data.problem), *split_counts(data)]
    if cut:
        parts.append(f"{cut:,} texts cut at {max_length} tokens")
    texts = {name: [_column(split, column) for column in data.columns] for name, split in data.splits.items()}
    empty = sum(not text.strip() for columns in texts.values() for column in columns for text in column)
    odd = [f"{empty:,} empty texts"] if empty else []
    odd += repeated({name: list(zip(*columns, strict=True)) for name, columns in texts.items()})
    return [" · ".join(parts), *([" · ".join(odd)] if odd else [])]


def _column(split: Any, name: str) -> list[Any]:
    return split.data.column(name).to_pylist()
