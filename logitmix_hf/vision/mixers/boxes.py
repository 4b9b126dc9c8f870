"""Pasting a box of one image into another."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from logitmix_hf.errors import check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.precision import exact
from logitmix_hf.vision.mixers.pasting import (
    MaskedPlan,
    channels_last,
    draws,
    one_share,
    partners,
    paste_own,
    step,
    steps,
)


def _randint(high: int, count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randint(high, (count,), generator=generator).to(like.device)


def _outside(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, images: Tensor) -> Tensor:
    """(B, H, W) bool: true outside the box of rows [top, bottom) and columns [left, right) of each image."""
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    rows = (y >= top[:, None]) & (y < bottom[:, None])
    columns = (x >= left[:, None]) & (x < right[:, None])
    return ~(rows[:, :, None] & columns[:, None, :])


def clipped_box(lam: Tensor, y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CutMix's box around (y, x), each (B,), cut at the edges: top, bottom, left, right.

    Its sides are floor(side * sqrt(1 - lam)); half of that, rounded down, lies on each side of the centre, as in the
    authors' code, so that an odd side loses a pixel.
    """
    cut = (1 - exact(lam)).clamp(min=0).sqrt()
    half_height, half_width = steps(cut, height) // 2, steps(cut, width) // 2
    return (
        (y - half_height).clamp(0, height),
        (y + half_height).clamp(0, height),
        (x - half_width).clamp(0, width),
        (x + half_width).clamp(0, width),
    )


def _copy_with_window(
    images: Tensor, plan: MixPlan, top: int, bottom: int, left: int, right: int
) -> tuple[Tensor, Tensor, MaskedPlan]:
    """A copy of the images, the window of it that the partners are to fill, and the plan that this carries out."""
    height, width = images.shape[2:]
    mixed, masks = images.clone(), np.zeros((1, 2, 1, height, width), np.float32)
    masks[:, 0], masks[:, 1, :, top:bottom, left:right] = 1, 1
    masks[:, 0, :, top:bottom, left:right] = 0
    given = (bottom - top) * (right - left) / (height * width)
    shares = torch.tensor([[1 - given, given]], dtype=plan.shares.dtype).expand(len(images), 2)
    done = MaskedPlan(plan.sources, shares, torch.from_numpy(masks).expand(len(images), -1, -1, -1, -1))
    return mixed, mixed[:, :, top:bottom, left:right], done


def _fill(window: Tensor, images: Tensor, select: Callable[..., Tensor], dim: int, index: Tensor) -> None:
    """Let ``window`` show ``select(images, dim, index)``; no copy in between where no gradient is asked for."""
    if torch.is_grad_enabled() and images.requires_grad:
        window.copy_(select(images, dim, index))
    else:
        select(images.detach(), dim, index, out=window)


def _paste_clipped(images: Tensor, plan: MixPlan, y: Tensor, x: Tensor) -> tuple[Tensor, MaskedPlan]:
    """Paste CutMix's box around (y, x), each (1,) or (B,)."""
    height, width = images.shape[2:]
    lam = one_share(images, plan, len(y))
    if lam is None:
        own = _outside(*clipped_box(plan.lam, y, x, height, width), images)
        return paste_own(images, partners(images, plan), plan, own)
    cut, row, column = math.sqrt(max(1 - lam, 0)), int(y), int(x)
    tall, wide = step(cut, height) // 2, step(cut, width) // 2
    top, bottom = max(row - tall, 0), min(row + tall, height)
    left, right = max(column - wide, 0), min(column + wide, width)
    mixed, window, done = _copy_with_window(images, plan, top, bottom, left, right)
    _fill(window, images[:, :, top:bottom, left:right], torch.index_select, 0, plan.sources[:, 1])
    return mixed, done


def cutmix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch", lam_correction: bool = True
) -> tuple[Tensor, MaskedPlan]:
    """A box of the partner, cut at the edges (Yun et al., ICCV 2019)."""
    height, width = images.shape[2:]
    count = draws(len(images), per)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    mixed, done = _paste_clipped(images, plan, y, x)
    return mixed, done if lam_correction else MaskedPlan(plan.sources, plan.shares, done.masks)


def saliencymix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, saliency: Tensor, per: str = "example"
) -> tuple[Tensor, MaskedPlan]:
    """CutMix's box around the most salient pixel of the partner (Uddin et al., ICLR 2021)."""
    width = images.shape[3]
    count = draws(len(images), per)
    peak = saliency[plan.sources[:count, 1]].flatten(1).argmax(1).to(images.device)
    return _paste_clipped(images, plan, peak // width, peak % width)


def resizemix(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    per: str = "batch",
    smallest: float = 0.1,
    largest: float = 0.8,
) -> tuple[Tensor, MaskedPlan]:
    """The whole partner, made small (Qin et al. 2020)."""
    check_number("smallest", smallest, low=0, high=1)
    check_number("largest", largest, low=smallest, high=1)
    height, width = images.shape[2:]
    count = draws(len(images), per)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    lam = one_share(images, plan, count)
    if lam is not None:
        return _paste_small(images, plan, int(y), int(x), lam, smallest + (largest - smallest) * (1 - lam))
    mixes = plan.lam < 1
    scale = smallest + (largest - smallest) * (1 - exact(plan.lam))
    tall = torch.where(mixes, steps(scale, height).clamp(min=1), 0)
    wide = torch.where(mixes, steps(scale, width).clamp(min=1), 0)
    top = (y - tall // 2).clamp(min=0).minimum(height - tall)
    left = (x - wide // 2).clamp(min=0).minimum(width - wide)
    own = _outside(top, top + tall, left, left + wide, images)
    # Nearest neighbour: pixel r of a patch of h rows shows row floor(r * H / h) of the whole image.
    rows, columns = _nearest(top, tall, height, images), _nearest(left, wide, width, images)
    # Two advanced indices with a slice between them: the channels come last.
    small = images[plan.sources[:, 1, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return paste_own(images, small, plan, own)


def _nearest(start: Tensor, size: Tensor, length: int, images: Tensor) -> Tensor:
    offset = torch.arange(length, device=images.device) - start[:, None]
    return (offset * length // size.clamp(min=1)[:, None]).clamp(0, length - 1)


def _paste_small(images: Tensor, plan: MixPlan, y: int, x: int, lam: float, scale: float) -> tuple[Tensor, MaskedPlan]:
    """ResizeMix of one box."""
    height, width = images.shape[2:]
    tall, wide = (max(step(scale, side), 1) if lam < 1 else 0 for side in (height, width))
    top, left = min(max(y - tall // 2, 0), height - tall), min(max(x - wide // 2, 0), width - wide)
    rows, columns = (np.arange(size) * side // max(size, 1) for size, side in ((tall, height), (wide, width)))
    mixed, window, done = _copy_with_window(images, plan, top, top + tall, left, left + wide)
    lines = _lines(images, plan.sources[:, 1].numpy(), rows)
    _fill(window, lines, torch.gather, 3, torch.from_numpy(columns).expand(window.shape))
    return mixed, done


def _lines(images: Tensor, chosen: np.ndarray, rows: np.ndarray) -> Tensor:
    """(B, C, h, W): these rows (h,) of the chosen images (B,), in the memory format of ``images``.

    Copied as they lie in memory, line by line; the other way round, every pixel would be a copy of its own.
    """
    count, channels, height, width = images.shape
    if channels_last(images):
        lines = torch.from_numpy((chosen[:, None] * height + rows).ravel())
        found = images.permute(0, 2, 3, 1).reshape(count * height, width * channels).index_select(0, lines)
        return found.view(count, len(rows), width, channels).permute(0, 3, 1, 2)
    planes = chosen[:, None] * channels + np.arange(channels)
    lines = torch.from_numpy((planes[:, :, None] * height + rows).ravel())
    return images.reshape(-1, width).index_select(0, lines).view(count, channels, len(rows), width)
