"""Pasting a box of one image into another."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.errors import check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer, draws, paste, steps


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
    cut = (1 - lam).clamp(min=0).sqrt()
    half_height, half_width = steps(cut, height) // 2, steps(cut, width) // 2
    return (
        (y - half_height).clamp(0, height),
        (y + half_height).clamp(0, height),
        (x - half_width).clamp(0, width),
        (x + half_width).clamp(0, width),
    )


def _cutmix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch", lam_correction: bool = True
) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    count = draws(len(images), per)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    own = _outside(*clipped_box(plan.lam, y, x, height, width), images)
    mixed, done = paste(images, images[plan.sources[:, 1]], plan, own)
    return mixed, done if lam_correction else MaskedPlan(plan.sources, plan.shares, done.mask)


def _saliencymix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, saliency: Tensor, per: str = "example"
) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    count = draws(len(images), per)
    peak = saliency[plan.sources[:count, 1]].flatten(1).argmax(1).to(images.device)
    own = _outside(*clipped_box(plan.lam, peak // width, peak % width, height, width), images)
    return paste(images, images[plan.sources[:, 1]], plan, own)


def _resizemix(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    per: str = "batch",
    smallest: float = 0.1,
    largest: float = 0.8,
) -> tuple[Tensor, MaskedPlan]:
    check_number("smallest", smallest, low=0, high=1)
    check_number("largest", largest, low=smallest, high=1)
    height, width = images.shape[2:]
    count, mixes = draws(len(images), per), plan.lam < 1
    scale = torch.where(mixes, smallest + (largest - smallest) * (1 - plan.lam), 0.0)
    tall = torch.where(mixes, steps(scale, height).clamp(min=1), 0)
    wide = torch.where(mixes, steps(scale, width).clamp(min=1), 0)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    top = (y - tall // 2).clamp(min=0).minimum(height - tall)
    left = (x - wide // 2).clamp(min=0).minimum(width - wide)
    own = _outside(top, top + tall, left, left + wide, images)
    # Nearest neighbour: pixel r of a patch of h rows shows row floor(r * H / h) of the whole image.
    source_rows = _nearest(top, tall, height, images)[:, None, :, None]
    source_columns = _nearest(left, wide, width, images)[:, None, None, :]
    partners = images[plan.sources[:, 1]]
    small = partners.gather(2, source_rows.expand_as(partners)).gather(3, source_columns.expand_as(partners))
    return paste(images, small, plan, own)


def _nearest(start: Tensor, size: Tensor, length: int, images: Tensor) -> Tensor:
    offset = torch.arange(length, device=images.device) - start[:, None]
    return (offset * length // size.clamp(min=1)[:, None]).clamp(0, length - 1)


MIXERS = (
    Mixer(
        "cutmix",
        "replace a box by the same box of the partner",
        "Yun et al., CutMix, ICCV 2019",
        alpha=1.0,
        w_sim=0.1,
        function=_cutmix,
        note="The share is corrected to the box as clipped at the edges; lam_correction=False leaves it as drawn.",
    ),
    Mixer(
        "resizemix",
        "paste the whole partner, made small",
        "Qin et al., ResizeMix, 2020",
        alpha=1.0,
        w_sim=0.1,
        function=_resizemix,
        note="The partner's scale is 0.1 + 0.7 (1 - lam): at alpha 1 the paper's uniform draw from (0.1, 0.8).",
    ),
    Mixer(
        "saliencymix",
        "as CutMix, around the most salient pixel of the partner",
        "Uddin et al., SaliencyMix, ICLR 2021",
        alpha=1.0,
        w_sim=0.1,
        function=_saliencymix,
        needs_saliency=True,
        note="A place for each row, as the paper says; per='batch' takes one for all, as the authors' code does.",
    ),
)
