"""Pasting a box of one image into another."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.errors import check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer, draws, partners, paste, steps


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


def _one_box(images: Tensor, plan: MixPlan, count: int) -> bool:
    """Whether all rows have one box, whose sides may be read: asking is free on a CPU only."""
    return count == 1 and images.device.type == "cpu" and bool((plan.lam == plan.lam[0]).all())


def _paste_box(
    images: Tensor, plan: MixPlan, top: int, bottom: int, left: int, right: int, patch: Tensor
) -> tuple[Tensor, MaskedPlan]:
    """What :func:`paste` does where all rows have one box: only ``patch``, (B, C, bottom - top, right - left), is moved."""
    height, width = images.shape[2:]
    mixed, mask = images.clone(), torch.ones(1, 1, height, width)
    mixed[:, :, top:bottom, left:right] = patch
    mask[:, :, top:bottom, left:right] = 0
    keep = 1 - (bottom - top) * (right - left) / (height * width)
    lam = torch.full_like(plan.lam, keep)
    return mixed, MaskedPlan(plan.sources, torch.stack([lam, 1 - lam], 1), mask.expand(len(images), -1, -1, -1))


def _paste_clipped(images: Tensor, plan: MixPlan, y: Tensor, x: Tensor) -> tuple[Tensor, MaskedPlan]:
    """Paste CutMix's box around (y, x), each (1,) or (B,)."""
    height, width = images.shape[2:]
    if not _one_box(images, plan, len(y)):
        return paste(
            images, partners(images, plan), plan, _outside(*clipped_box(plan.lam, y, x, height, width), images)
        )
    top, bottom, left, right = torch.cat(clipped_box(plan.lam[:1], y, x, height, width)).tolist()
    patch = partners(images[:, :, top:bottom, left:right], plan)
    return _paste_box(images, plan, top, bottom, left, right, patch)


def _cutmix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch", lam_correction: bool = True
) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    count = draws(len(images), per)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    mixed, done = _paste_clipped(images, plan, y, x)
    return mixed, done if lam_correction else MaskedPlan(plan.sources, plan.shares, done.mask)


def _saliencymix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, saliency: Tensor, per: str = "example"
) -> tuple[Tensor, MaskedPlan]:
    width = images.shape[3]
    count = draws(len(images), per)
    peak = saliency[plan.sources[:count, 1]].flatten(1).argmax(1).to(images.device)
    return _paste_clipped(images, plan, peak // width, peak % width)


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
    count = draws(len(images), per)
    y, x = _randint(height, count, generator, images), _randint(width, count, generator, images)
    one = _one_box(images, plan, count)
    lam = plan.lam[:1] if one else plan.lam
    scale = smallest + (largest - smallest) * (1 - lam)
    tall = torch.where(lam < 1, steps(scale, height).clamp(min=1), 0)
    wide = torch.where(lam < 1, steps(scale, width).clamp(min=1), 0)
    top = (y - tall // 2).clamp(min=0).minimum(height - tall)
    left = (x - wide // 2).clamp(min=0).minimum(width - wide)
    # Nearest neighbour: pixel r of a patch of h rows shows row floor(r * H / h) of the whole image.
    rows, columns = _nearest(top, tall, height, images), _nearest(left, wide, width, images)
    if one:
        box = torch.cat([top, top + tall, left, left + wide]).tolist()
        rows, columns = rows[0, box[0] : box[1]], columns[0, box[2] : box[3]]
        return _paste_box(images, plan, *box, partners(_grid(images, rows, columns), plan))
    own = _outside(top, top + tall, left, left + wide, images)
    # Two advanced indices with a slice between them: the channels come last.
    small = images[plan.sources[:, 1, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return paste(images, small, plan, own)


def _grid(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, C, h, w): these rows and columns of every image, in the memory format of ``images``."""
    if images.is_contiguous(memory_format=torch.channels_last):
        return images.permute(0, 2, 3, 1).index_select(1, rows).index_select(2, columns).permute(0, 3, 1, 2)
    return images.index_select(2, rows).index_select(3, columns)


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
