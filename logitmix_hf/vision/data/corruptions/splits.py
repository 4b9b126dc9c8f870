"""Corrupted images as splits: made of a clean one when they are asked for, or read from the benchmark's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.cache import cache_file, load_decoded, save_decoded
from logitmix_hf.vision.data.corruptions import corrupt
from logitmix_hf.vision.data.decode import Decoded, square
from logitmix_hf.vision.data.splits import MemorySplit, Split

VERSION = 1
"""Of what the functions make of an image: a change leaves old files unread."""
MOST_BYTES = 2**27
"""A corruption at one severity that takes more is made batch by batch, each time; 43,690 images of 32 x 32 fit."""
_AT_ONCE = 500  # rows that are corrupted together: few enough for the processor's cache to help


class CorruptedSplit(Split):
    """The rows of a split, corrupted. The first time that any is asked for all are made and kept on disk, where the next run
    finds them; what is too large, or has no room there, is made batch by batch, of the same bytes.

    Args:
        base: the clean rows, as evaluation sees them.
        folder: where to keep them; None: nowhere.
        key: what the data is known by.
        seed: of the randomness, the same in every run.
    """

    def __init__(
        self, base: Split, name: str, severity: int, folder: Path | None, key: str, *, called: str, seed: int = 0
    ) -> None:
        super().__init__(called, base.labels, base.idx, base.size)
        self._base, self._corruption, self._severity, self._seed = base, name, severity, seed
        self._folder, self._key = folder, f"{key} {base.name} {name} {severity} {seed} {VERSION}"
        self._kept: np.ndarray | None = None
        self._tried = False

    @property
    def device(self) -> torch.device:
        return self._base.device

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": None, "_tried": False}  # a worker maps the file itself

    def take(self, positions: np.ndarray, augment: Augment | None, copies: np.ndarray | None = None) -> Tensor:
        if not self._tried:
            self._kept, self._tried = self._whole(), True
        made = self._made(positions) if self._kept is None else self._kept[positions]
        return torch.from_numpy(made).to(self.device)

    def _made(self, positions: np.ndarray) -> np.ndarray:
        clean = self._base.take(positions, None).cpu().numpy()
        return corrupt(clean, self._corruption, self._severity, self.idx[positions], self._seed)

    def _whole(self) -> np.ndarray | None:
        """Every row, mapped from the cache, made there where it is missing."""
        channels = int(self._base.take(np.zeros(1, np.int64), None).shape[3])
        needed = len(self) * self.size**2 * channels
        if self._folder is None or needed > MOST_BYTES:
            return None
        path = cache_file(self._folder, self._key, self.idx, self.size, channels)
        if (found := load_decoded(path)) is None:
            parent = next(one for one in (self._folder, *self._folder.parents) if one.exists())
            if shutil.disk_usage(parent).free < 4 * needed:
                return None
            parts = [np.arange(start, min(start + _AT_ONCE, len(self))) for start in range(0, len(self), _AT_ONCE)]
            pixels = np.concatenate([self._made(part) for part in parts])
            found = Decoded(pixels, np.zeros((len(self), 16), np.uint8))
            if save_decoded(path, found):
                found = load_decoded(path) or found
        return found.pixels if len(found.pixels) == len(self) else None


class OfficialSplit(Split):
    """One severity of a file of the benchmark, in the order of the test split's rows.

    Args:
        base: the test split, whose labels and row numbers these images have.
        images: (5 N, 32, 32, 3) uint8. rows: N.
        stored: side that images are resized to before the centre is cut out, as those of the data are.
    """

    def __init__(
        self, base: Split, images: np.ndarray, severity: int, rows: int, *, called: str, stored: int | None = None
    ) -> None:
        super().__init__(called, base.labels, base.idx, base.size)
        self._images, self._first = images, (severity - 1) * rows
        self._stored, self._device = base.size if stored is None else stored, base.device

    @property
    def device(self) -> torch.device:
        return self._device

    def take(self, positions: np.ndarray, augment: Augment | None, copies: np.ndarray | None = None) -> Tensor:
        from PIL import Image

        images = self._images[self._first + self.idx[positions]]
        if self._stored != images.shape[1]:
            images = np.stack([square(Image.fromarray(one), self._stored) for one in images])
        held = MemorySplit(images, None, idx=self.idx[positions], size=self.size)
        return held.take(np.arange(len(positions)), None).to(self.device)
