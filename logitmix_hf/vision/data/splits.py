"""What a trainer sees of a split: rows, and where a batch's pixels come from (memory, or files by workers)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch import Tensor

from logitmix_hf.vision.data.augment import Augment, resized, windows
from logitmix_hf.vision.data.decode import RawImages, read_image, square
from logitmix_hf.vision.data.draws import of_copies

if TYPE_CHECKING:
    from typing_extensions import NotRequired, Self


class ImageRow(TypedDict):
    """An item of a split: its position, and which split it is of, so that one collator serves all; ``copy`` counts how
    often the row came before in the same batch (batch repetition), and has random draws of its own."""

    row: int
    split: str
    copy: NotRequired[int]


class Split(ABC):
    """A map-style data set of positions 0 to N - 1; the collator fetches a whole batch by :meth:`take`.

    Attributes:
        name: as in ``ImageRow``.
        labels: (N,) int64, None where unknown.
        idx: (N,) int64, each row's number in the data; randomness hangs on it.
        size: side of the images that ``take`` hands out.
    """

    def __init__(self, name: str, labels: np.ndarray | Tensor | None, idx: np.ndarray, size: int) -> None:
        self.name, self.idx, self.size = name, np.asarray(idx, np.int64), size
        self.labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self._epoch = torch.zeros((), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.idx)

    def __getitem__(self, position: int) -> ImageRow:
        position = int(position)
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        return {"row": position % len(self), "split": self.name}

    def __getitems__(self, positions: list[int]) -> list[ImageRow]:
        seen: Counter[int] = Counter()
        rows: list[ImageRow] = []
        for position in map(int, positions):
            again = seen[position]
            seen[position] += 1
            row: ImageRow = {"row": position, "split": self.name}
            rows.append({**row, "copy": again} if again else row)
        return rows

    @property
    def epoch(self) -> int:
        """What the hash of augmentation takes for the epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Called by ``Trainer`` and accelerate before each epoch, see also :class:`TellEpoch`."""
        self._epoch.fill_(int(epoch))

    def relabelled(self, numbers: Sequence[int]) -> Self:
        """The same rows with label k as ``numbers[k]``."""
        made = copy(self)
        if self.labels is not None:
            made.labels = torch.as_tensor(numbers, device=self.labels.device)[self.labels]
        return made

    def some(self, rows: np.ndarray, name: str) -> Self:
        """These rows alone, in their order, as a split of another name."""
        made = copy(self)
        made.name, made.idx, made._epoch = name, self.idx[rows], torch.zeros_like(self._epoch)
        if self._epoch.is_shared():
            made._epoch.share_memory_()
        if self.labels is not None:
            made.labels = self.labels[torch.as_tensor(rows, device=self.labels.device)]
        return made

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return torch.device("cpu")

    @abstractmethod
    def take(self, positions: np.ndarray, augment: Augment | None, copies: np.ndarray | None = None) -> Tensor:
        """(B, size, size, C) uint8 of these rows; without ``augment`` the centre, as for evaluation.

        ``copies``, (B,): the number of each row among its copies in the batch; None: there is one of each.
        """


class MemorySplit(Split):
    """Decoded pixels in memory, or mapped from a file.

    Args:
        pixels: (M, H, W, C) uint8, square; may be shared with other splits.
        at: (N,) where in ``pixels`` each row lies; None: in order.
        size: side of what is handed out, at most that of ``pixels``; default that.
    """

    def __init__(
        self,
        pixels: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None,
        *,
        name: str = "train",
        idx: np.ndarray | None = None,
        at: np.ndarray | None = None,
        size: int | None = None,
    ) -> None:
        self._pixels = torch.as_tensor(pixels).contiguous()
        self._at = np.arange(len(self._pixels)) if at is None else np.asarray(at, np.int64)
        side = self._pixels.shape[1]
        super().__init__(name, labels, self._at if idx is None else idx, side if size is None else size)

    def some(self, rows: np.ndarray, name: str) -> Self:
        made = super().some(rows, name)
        made._at = self._at[rows]
        return made

    @property
    def pixels(self) -> Tensor:
        """(N, C, H, W) uint8 in channels-last memory; a copy where rows are not all of a shared tensor."""
        whole = len(self._at) == len(self._pixels) and bool((self._at == np.arange(len(self._at))).all())
        return (self._pixels if whole else self._pixels[torch.from_numpy(self._at)]).permute(0, 3, 1, 2)

    @property
    def device(self) -> torch.device:
        return self._pixels.device

    @property
    def nbytes(self) -> int:
        """Of the pixels of these rows."""
        return len(self) * self._pixels[0].numel() if len(self) else 0

    def to(self, device: torch.device | str) -> MemorySplit:
        """The same split with its own rows on a device; itself where they already are."""
        if torch.device(device).type == self.device.type:
            return self
        pixels = self.pixels.permute(0, 2, 3, 1).to(device)
        labels = None if self.labels is None else self.labels.to(device)
        moved = MemorySplit(pixels, labels, name=self.name, idx=self.idx, size=self.size)
        moved.set_epoch(self.epoch)
        return moved

    def take(self, positions: np.ndarray, augment: Augment | None, copies: np.ndarray | None = None) -> Tensor:
        rows, idx = self._at[positions], of_copies(self.idx[positions], copies)
        side, none = self._pixels.shape[1], np.zeros(len(positions), bool)
        flip = none if augment is None else augment.flips(idx, self.epoch)
        if augment is not None and augment.crop == "resized":
            zero = np.zeros(len(positions), np.int64)
            whole = windows(self._pixels, rows, zero, zero, none, size=side, padding=0, mode="zero")
            cut = resized(whole, augment.boxes(idx, self.epoch, side, side), self.size)
            return torch.where(torch.from_numpy(flip).to(cut.device)[:, None, None, None], cut.flip(2), cut)
        padding = augment.padding if augment is not None and augment.crop == "pad" else 0
        slack = side + 2 * padding - self.size
        if augment is not None and augment.crop == "pad":
            top, left = augment.corners(idx, self.epoch, slack)
        else:
            top = left = np.full(len(positions), slack // 2, np.int64)
        mode = augment.padding_mode if augment is not None else "zero"
        return windows(self._pixels, rows, top, left, flip, size=self.size, padding=padding, mode=mode)


class StreamedSplit(Split):
    """Images that do not fit into memory: decoded batch by batch where the collator runs, that is in ``DataLoader``'s
    workers (``dataloader_num_workers``).

    Training with a ``"resized"`` crop cuts from the whole image with torchvision v2; all else is cut from the square
    of side ``stored`` that memory would hold, so that evaluation sees the same pixels on either road.

    Args:
        rows: (N,) of ``images``. stored: side of that square, at least ``size``.
    """

    def __init__(
        self,
        images: RawImages,
        rows: np.ndarray,
        labels: np.ndarray | None,
        *,
        size: int,
        channels: int,
        name: str = "train",
        stored: int | None = None,
    ) -> None:
        super().__init__(name, labels, rows, size)
        self.channels, self.stored = channels, size if stored is None else stored
        self._images = images
        self._epoch.share_memory_()  # workers that outlive an epoch hear of the next

    def take(self, positions: np.ndarray, augment: Augment | None, copies: np.ndarray | None = None) -> Tensor:
        if augment is not None and augment.crop == "resized":
            drawn = of_copies(self.idx[positions], copies)
            flips = augment.flips(drawn, self.epoch)
            made = [
                self._resized(int(row), word, augment) for row, word in zip(self.idx[positions], drawn, strict=True)
            ]
            return torch.from_numpy(
                np.stack([one[:, ::-1] if flip else one for one, flip in zip(made, flips, strict=True)])
            )
        squares = [
            square(read_image(self._images, int(row), self.channels), self.stored) for row in self.idx[positions]
        ]
        held = MemorySplit(np.stack(squares), None, idx=self.idx[positions], size=self.size)
        held.set_epoch(self.epoch)
        return held.take(np.arange(len(positions)), augment, copies)

    def _resized(self, row: int, drawn: np.int64, augment: Augment) -> np.ndarray:
        from torchvision.transforms.v2 import functional as v2

        image = read_image(self._images, row, self.channels)
        top, left, height, width = augment.boxes(np.array([drawn]), self.epoch, image.height, image.width)[0].tolist()
        pixels = np.asarray(v2.resized_crop(image, top, left, height, width, [self.size, self.size], antialias=True))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels
