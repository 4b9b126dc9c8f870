"""What several members cost beside their training step: evaluation, the plain network that they become, the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.image_rivals import MEAN, STD, photographs
from benchmarks.timing import Pair
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.repetition import RepeatedSampler
from logitmix_hf.vision.data.splits import MemorySplit
from logitmix_hf.vision.networks import collapsed

PLAIN, MEMBERS, COLLAPSED = "evaluation", "evaluation, 2 members", "evaluation, 2 members as one"
BATCHES = 32
LOADER, REPEATED = f"{BATCHES} batches of the loader", f"{BATCHES} batches, each image twice"
PAIRS = (Pair(MEMBERS, PLAIN, 1.02), Pair(COLLAPSED, PLAIN, 1.02), Pair(REPEATED, LOADER, 1.05))
"""What is compared, and at most how much more it may take."""

_IMAGES = 512


class Evaluation:
    """One batch through a network as evaluation runs it."""

    def __init__(self, network: Any, batch: dict[str, Tensor]) -> None:
        self.network, self.pixels = network.eval(), batch["pixel_values"]

    def __call__(self) -> None:
        with torch.no_grad():
            self.network(pixel_values=self.pixels)


class Loading:
    """Batches of the training loader: rows are drawn, cut, flipped and normalised."""

    def __init__(self, rows: int, b: int) -> None:
        pixels = (photographs(_IMAGES, 32) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        split = MemorySplit(pixels, np.zeros(_IMAGES, np.int64))
        collator = ImageCollator(split, tuple(MEAN), tuple(STD), Augment())
        sampler = RepeatedSampler(_IMAGES, b)
        data: Any = split
        self.batches = _forever(DataLoader(data, rows, sampler=sampler, collate_fn=collator))

    def __call__(self) -> None:
        for _ in range(BATCHES):  # one is done within a millisecond
            next(self.batches)


def _forever(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def member_steps(network: Callable[[int], Any], batch: dict[str, Tensor], rows: int) -> dict[str, Callable[[], object]]:
    """Every step by name; ``network`` makes one of so many members."""
    return {
        PLAIN: Evaluation(network(1), batch),
        MEMBERS: Evaluation(network(2), batch),
        COLLAPSED: Evaluation(collapsed(network(2)), batch),
        LOADER: Loading(rows, 1),
        REPEATED: Loading(rows, 2),
    }
