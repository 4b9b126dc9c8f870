"""Are the images sane? What is counted of every split before training: the content of ``data.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from logitmix_hf.data.facts import SplitRows, data_facts, fact_lines
from logitmix_hf.data.left_out import left_out_facts
from logitmix_hf.data.overview import label_summary, split_counts
from logitmix_hf.vision.data.load import ImageData
from logitmix_hf.vision.data.splits import MemorySplit, Split


def image_facts(data: ImageData) -> dict[str, Any]:
    """:func:`logitmix_hf.data.facts.data_facts` of images: two that have the same pixels, as they are kept for training, are
    the same image. Where images are streamed from their files, like ones are not looked for, and ``repeated`` is left out.
    """
    held = sum(len(split) for split in data.validation.values())
    kept = len(data.train) if data.train is not None else 0
    return data_facts(
        {
            name: SplitRows(
                len(split),
                None if split.labels is None else split.labels.cpu().numpy(),
                _digests(split),
                {"unreadable": data.skipped.get(name, 0)},
            )
            for name, split in data.splits.items()
        },
        data.label_names,
        data.problem,
        held_out_share=held / (held + kept) if "share of train" in data.validation_note else None,
        validation=data.validation_note,
        image_size=data.image_size,
        channels=data.channels,
        left_out=left_out_facts(data.left_out),
        notes=list(data.notes),
    )


def image_lines(data: ImageData, facts: Mapping[str, Any]) -> list[str]:
    """What is said before training: classes and splits in a line, and what is odd in ``facts``."""
    first = next(iter(data.splits.values()))
    counts = label_summary(first.labels, data.label_names, data.problem)
    odd = " · ".join(fact_lines(facts))
    return [" · ".join([counts, *split_counts(data)]), *([odd] if odd else [])]


def _digests(split: Split) -> list[bytes] | None:
    if not isinstance(split, MemorySplit):
        return None
    rows: Any = (split._pixels[row].to("cpu", torch.uint8) for row in split._at.tolist())  # without a copy of all
    return [hashlib.blake2b(one.numpy(), digest_size=16).digest() for one in rows]
