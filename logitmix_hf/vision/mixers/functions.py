"""The code of every mixer by its name, those of whole images here; loaded when the first one is called."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision.mixers import boxes, masks, patchup
from logitmix_hf.vision.mixers.pasting import MaskedPlan, draws, partners, paste_own, steps
from logitmix_hf.vision.mixers.puzzle.puzzlemix import puzzlemix


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


def mixup(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    """Every pixel by the shares of the plan (Zhang et al., ICLR 2018); any number of sources."""
    masks = plan.shares.float()[:, :, None, None, None].expand(-1, -1, 1, *images.shape[2:])
    done = MaskedPlan(plan.sources, plan.shares, masks)
    if plan.sources.shape[1] != 2:
        return blend(images, plan), done
    # In place on the copy: what a large batch costs is the memory that it is given. Weight 1 is the image itself, exactly.
    return partners(images, plan).lerp_(images, plan.lam.reshape(-1, 1, 1, 1).to(images.dtype)), done


FUNCTIONS: dict[str, Callable[..., tuple[Tensor, MaskedPlan]]] = {
    "mixup": mixup,
    "cutmix": boxes.cutmix,
    "resizemix": boxes.resizemix,
    "saliencymix": boxes.saliencymix,
    "fmix": masks.fmix,
    "cowmask": masks.cowmask,
    "vconcat": vconcat,
    "hconcat": hconcat,
    "mixedconcat": mixedconcat,
    "patchup_hard": patchup.hard,
    "patchup_soft": patchup.soft,
    "puzzlemix": puzzlemix,
}
"""(images, plan, generator, **options) -> (mixed, carried out), pure; what the options may be says the table."""
