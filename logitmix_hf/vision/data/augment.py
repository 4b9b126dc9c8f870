"""Crop and flip of whole batches of uint8 pixels: where each row is cut is a hash, how it is cut a copy of windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.errors import check_number, pick
from logitmix_hf.vision.data.draws import below, draw, fractions

CROPS = {
    "pad": "a window of the padded image",
    "resized": "a window of random area and shape, resized (Inception's, torchvision's RandomResizedCrop)",
    "none": "the centre",
}
PADDINGS = {"zero": "black", "reflect": "mirrored at the border, which is not repeated"}
_TRIES = 10  # as torchvision
_TOP, _LEFT, _FLIP, _BOX = 0, 1, 2, 3  # numbers of draws


@dataclass(frozen=True)
class Augment:
    """What training does to images before they are mixed.

    Attributes:
        crop: a name in ``CROPS``.
        padding: pixels on every side before a ``"pad"`` crop; 4 of 32 is the habit of CIFAR.
        padding_mode: a name in ``PADDINGS``.
        flip: probability of a left-right flip.
        scale, ratio: range of the window's share of the area, and of width / height, of a ``"resized"`` crop.
        augmix: a name in ``augmix.FORMS``: done to windows, before they are normalised; None: nothing.
        views: so many augmentations by AugMix follow the plain windows in a batch of training, in place of them where it
            is 0.
        seed: everything random is a hash of it, the epoch and the row.

    Raises:
        UserError: when made, for a value out of range.
    """

    crop: str = "pad"
    padding: int = 4
    padding_mode: str = "zero"
    flip: float = 0.5
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    augmix: str | None = None
    views: int = 0
    seed: int = 42

    def __post_init__(self) -> None:
        pick(CROPS, self.crop, "crop")
        pick(PADDINGS, self.padding_mode, "padding mode")
        check_number("padding", self.padding, low=0)
        check_number("flip", self.flip, low=0, high=1)
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            check_number(name, low, low=0, high=1 if name == "scale" else 100, open_low=True)
            check_number(name, high, low=low, high=1 if name == "scale" else 100)

    def flips(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """(B,) bool."""
        return fractions(draw(self.seed, epoch, rows, _FLIP)) < self.flip

    def corners(self, rows: np.ndarray, epoch: int, slack: int) -> tuple[np.ndarray, np.ndarray]:
        """Top and left of each row's window, (B,) int64 in [0, slack]."""
        top = below(draw(self.seed, epoch, rows, _TOP), slack + 1)
        return top, below(draw(self.seed, epoch, rows, _LEFT), slack + 1)

    def boxes(self, rows: np.ndarray, epoch: int, height: int, width: int) -> np.ndarray:
        """(B, 4) int64: top, left, height and width of the window of a ``"resized"`` crop in an image of that size.

        As torchvision: area and ratio are drawn up to ten times until the window fits, else the largest centred window
        of an allowed ratio.
        """
        low, high = np.log(self.ratio)
        found = np.zeros((len(rows), 4), np.int64)
        open_rows = np.arange(len(rows))
        for attempt in range(_TRIES):
            numbers = [draw(self.seed, epoch, rows[open_rows], _BOX + 4 * attempt + part) for part in range(4)]
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * fractions(numbers[0]))
            ratio = np.exp(low + (high - low) * fractions(numbers[1]))
            w, h = np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)
            fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
            w, h = w[fits], h[fits]
            top, left = below(numbers[2][fits], height - h + 1), below(numbers[3][fits], width - w + 1)
            found[open_rows[fits]] = np.stack([top, left, h, w], 1)
            open_rows = open_rows[~fits]
        h, w = height, width
        if width / height < self.ratio[0]:
            h = round(width / self.ratio[0])
        elif width / height > self.ratio[1]:
            w = round(height * self.ratio[1])
        found[open_rows] = ((height - h) // 2, (width - w) // 2, h, w)
        return found


def windows(
    pixels: Tensor,
    rows: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    flip: np.ndarray,
    *,
    size: int,
    padding: int,
    mode: str,
) -> Tensor:
    """Cut a window of ``size`` x ``size`` from each chosen image, and flip some.

    Args:
        pixels: (N, H, W, C) uint8, contiguous; untouched.
        rows: (B,) positions in ``pixels``.
        top, left: (B,) corners of the windows in the padded images, from 0.
        flip: (B,) bool, applied to the window.
        padding, mode: pixels added on each side, and a name in ``PADDINGS``.

    Returns:
        (B, size, size, C) uint8 on the same device.
    """
    cut = _windows_by_copy if pixels.device.type == "cpu" else _windows_by_index
    return cut(pixels, np.stack([rows, top, left, flip.astype(np.int64)]), size, padding, mode)


def _windows_by_copy(pixels: Tensor, places: np.ndarray, size: int, padding: int, mode: str) -> Tensor:
    """``places`` (4, B): rows, top, left, flip. NumPy copies a window line by line: on a CPU an order of magnitude faster than
    indices of pixels."""
    rows, top, left, flip = places
    batch = pixels.numpy()[rows]
    count, _, _, channels = batch.shape
    if padding:
        around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        batch = np.pad(batch, around, mode="reflect") if mode == "reflect" else _pad_zero(batch, padding)
    lines = batch.reshape(count, batch.shape[1], -1)
    if lines.shape[1] != size or lines.shape[2] != size * channels:
        views = np.lib.stride_tricks.sliding_window_view(lines, (size, size * channels), axis=(1, 2))  # type: ignore[call-overload]
        lines = views[np.arange(count), top, left * channels]
    cut = lines.reshape(count, size, size, channels)
    chosen = np.flatnonzero(flip)
    if len(chosen):
        cut[chosen] = cut[chosen, :, ::-1]
    return torch.from_numpy(cut)


def _pad_zero(batch: np.ndarray, padding: int) -> np.ndarray:
    count, height, width, channels = batch.shape
    padded = np.zeros((count, height + 2 * padding, width + 2 * padding, channels), batch.dtype)
    padded[:, padding:-padding, padding:-padding] = batch
    return padded


def _windows_by_index(pixels: Tensor, places: np.ndarray, size: int, padding: int, mode: str) -> Tensor:
    """One gather, without a padded copy: made for GPUs, right on every device."""
    _, height, width, channels = pixels.shape
    place = torch.from_numpy(places).to(pixels.device, non_blocking=True)
    steps = torch.arange(size, device=pixels.device)
    across = torch.where(place[3, :, None] > 0, size - 1 - steps, steps)
    y, x = place[1, :, None] + steps - padding, place[2, :, None] + across - padding  # (B, size)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    if mode == "reflect":
        y, x = _reflect(y, height), _reflect(x, width)
    else:
        y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    flat = (place[0, :, None, None] * height + y[:, :, None]) * width + x[:, None, :]
    cut = pixels.view(-1, channels)[flat]
    return cut if mode == "reflect" or not padding else cut * inside[..., None]


def _reflect(at: Tensor, length: int) -> Tensor:
    at = at.abs()
    return torch.where(at < length, at, 2 * (length - 1) - at)


def resized(pixels: Tensor, boxes: np.ndarray, size: int) -> Tensor:
    """Resize a window of each image to ``size`` x ``size``, bilinear.

    Args:
        pixels: (B, H, W, C) uint8. boxes: (B, 4) top, left, height, width.

    Returns:
        (B, size, size, C) uint8, rounded. Not antialiased: images in memory are little larger than ``size``, so that a
        window hardly ever shrinks.
    """
    images = pixels.permute(0, 3, 1, 2).float()
    height, width = images.shape[2:]
    box = torch.from_numpy(boxes).to(images.device, torch.float32)
    steps = (torch.arange(size, device=images.device) + 0.5) / size  # centres of the new pixels, in shares of the box
    y = (box[:, 0:1] + box[:, 2:3] * steps) * (2 / height) - 1
    x = (box[:, 1:2] + box[:, 3:4] * steps) * (2 / width) - 1
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    made = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return made.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """((B, H, W, C) uint8 / 255 - mean) / std as (B, C, H, W) float32 in channels-last memory; mean, std per channel in
    units of [0, 1]."""
    count, height, width, channels = pixels.shape
    scale = torch.tensor([1 / (255 * one) for one in std], device=pixels.device).repeat(width)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=pixels.device).repeat(width)
    lines = pixels.reshape(count, height, width * channels).float()
    return torch.addcmul(shift, lines, scale).view(count, height, width, channels).permute(0, 3, 1, 2)
