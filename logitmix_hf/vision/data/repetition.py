"""Batch repetition: every row several times in a batch, each copy with a crop, a flip and mixtures of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from logitmix_hf.errors import UserError, check_number


class RepeatedSampler(Sampler[int]):
    """Each row ``b`` times in a row, the rows in an order drawn anew each epoch (MIMO; Ramé et al., section 3.4).

    What is repeated is the number of a row, not its pixels: an epoch is ``b`` times as long, and where ``b`` divides the
    batch all copies of a row are in one. The order hangs on seed and epoch alone.

    Args:
        rows: N.
        b: copies, at least 1.
        seed: of the order, at least 0.
    """

    def __init__(self, rows: int, b: int, seed: int = 0) -> None:
        check_number("batch_repetition", b, low=1)
        self.rows, self.b, self.seed, self.epoch = rows, b, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows * self.b

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        for row in torch.randperm(self.rows, generator=generator).tolist():
            for _ in range(self.b):
                yield row


def check_repetition(b: int, batch: int) -> None:
    """Require whole groups of copies in every batch.

    Raises:
        UserError: when ``b`` does not divide the batch.
    """
    check_number("batch_repetition", b, low=1)
    if batch % b:
        near = max(b, round(batch / b) * b)
        raise UserError(
            f"--batch_repetition {b} does not divide --per_device_train_batch_size {batch}: the copies of a row would be"
            f" torn apart; take a batch of {near}."
        )


def repeating(loader: Any) -> RepeatedSampler | None:
    """The sampler that repeats rows inside of a loader, also behind accelerate's wrappers."""
    seen: list[Any] = [loader]
    while seen:
        one = seen.pop()
        if isinstance(one, RepeatedSampler):
            return one
        for name in ("sampler", "batch_sampler", "base_dataloader"):
            inner = getattr(one, name, None)
            if inner is not None and inner is not one:
                seen.append(inner)
    return None
