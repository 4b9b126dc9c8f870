"""Rows to a batch: pixels of a whole batch at once, augmented where they train, normalised on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data.augment import Augment, normalise
from logitmix_hf.vision.data.augmix import augmix
from logitmix_hf.vision.data.draws import of_copies
from logitmix_hf.vision.data.repetition import repeating
from logitmix_hf.vision.data.splits import Split


@dataclass(frozen=True)
class ImageCollator:
    """Items of one split, or of several told apart by their ``split``, to ``pixel_values`` (B, C, H, W), float32 in
    channels-last memory, and ``labels`` (B,) int64 where they are known. With views of AugMix there are several times as
    many rows of the former.

    Attributes:
        splits: one split, or all that a trainer may ask for, by name.
        mean, std: per channel, in units of [0, 1].
        augment: for the rows of splits in ``augmented``; None: never.
        device: where to normalise; None: where the pixels are. Pixels travel as bytes.

    Raises:
        UserError: when made, for a reflection wider than the images.
    """

    splits: Split | Mapping[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment | None = None
    augmented: frozenset[str] = field(default=frozenset({"train"}))
    device: torch.device | None = None

    def __post_init__(self) -> None:
        if self.augment is not None:
            padding = (
                self.augment.padding if (self.augment.crop, self.augment.padding_mode) == ("pad", "reflect") else 0
            )
            for split in [self.splits] if isinstance(self.splits, Split) else self.splits.values():
                if padding >= split.size:
                    raise UserError(
                        f"Reflecting {padding} pixels needs images of more than {split.size}; lower padding."
                    )

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        split = self.splits if isinstance(self.splits, Split) else self._split_of(items)
        positions = np.fromiter((item["row"] for item in items), np.int64, len(items))
        copies = np.fromiter((item.get("copy", 0) for item in items), np.int64, len(items))
        pixels = split.take(positions, self.augment if split.name in self.augmented else None, copies)
        if self.augment is not None and self.augment.augmix is not None and split.name in self.augmented:
            pixels = self._by_augmix(pixels, split, of_copies(split.idx[positions], copies))
        if self.device is not None:
            pixels = pixels.to(self.device, non_blocking=True)
        batch = {"pixel_values": normalise(pixels, self.mean, self.std)}
        if split.labels is not None:
            labels = split.labels[torch.from_numpy(positions).to(split.labels.device)]
            batch["labels"] = labels.to(pixels.device)
        return batch

    def _by_augmix(self, pixels: Tensor, split: Split, rows: np.ndarray) -> Tensor:
        """(B, …) float32 from 0 to 255; with views (B + views B, …), the plain windows first."""
        augment = self.augment
        assert augment is not None
        assert augment.augmix is not None
        made = [
            augmix(pixels, augment.augmix, augment.seed, split.epoch, rows, view)
            for view in range(max(augment.views, 1))
        ]
        return torch.cat([pixels.float(), *made]) if augment.views else made[0]

    def _split_of(self, items: Sequence[Mapping[str, Any]]) -> Split:
        assert isinstance(self.splits, Mapping)
        names = {item["split"] for item in items}
        if len(names) > 1:
            raise UserError(
                f"A batch holds rows of several splits: {', '.join(sorted(names))}; give one split at a time."
            )
        return self.splits[names.pop()]


class TellEpoch(TrainerCallback):
    """Tells the training split its epoch, and a sampler that repeats rows, always.

    accelerate 1.15 calls ``set_epoch`` of a data set only where its sampler is not wrapped: with several processes, and
    in the first epoch after resuming, it does not.
    """

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As ``TrainerCallback``."""
        loader = kwargs.get("train_dataloader")
        dataset = getattr(loader, "dataset", None)
        sampler = repeating(loader)
        if sampler is not None:
            sampler.set_epoch(int(state.epoch or 0))
        if isinstance(dataset, Split):
            dataset.set_epoch(int(state.epoch or 0))
