"""Setting parts of two images side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers.pasting import MaskedPlan, draws, paste_own, steps


def _first(count: Tensor, length: int) -> Tensor:
    """(B, length) bool: true at the first ``count`` places."""
    return torch.arange(length, device=count.device) < count[:, None]


def vconcat(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    """The upper part of the row above the lower part of the partner."""
    height, width = images.shape[2:]
    own = _first(steps(plan.lam, height), height)[:, :, None].expand(-1, height, width)
    return paste_own(images, images[plan.sources[:, 1]], plan, own)


def hconcat(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    """The left part of the row beside the right part of the partner."""
    height, width = images.shape[2:]
    own = _first(steps(plan.lam, width), width)[:, None, :].expand(-1, height, width)
    return paste_own(images, images[plan.sources[:, 1]], plan, own)


def mixedconcat(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch"
) -> tuple[Tensor, MaskedPlan]:
    """Both cuts at once."""
    height, width = images.shape[2:]
    cut = torch.randint(width, (draws(len(images), per),), generator=generator).to(images.device)
    cut = torch.where(plan.lam < 1, cut, width)
    own = _first(steps(plan.lam, height), height)[:, :, None] == _first(cut, width)[:, None, :]
    return paste_own(images, images[plan.sources[:, 1]], plan, own)
