"""Blending whole images."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision.mixers.pasting import MaskedPlan, partners


def mixup(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    """Every pixel by the shares of the plan (Zhang et al., ICLR 2018); any number of sources."""
    masks = plan.shares.float()[:, :, None, None, None].expand(-1, -1, 1, *images.shape[2:])
    done = MaskedPlan(plan.sources, plan.shares, masks)
    if plan.sources.shape[1] != 2:
        return blend(images, plan), done
    # In place on the copy: what a large batch costs is the memory that it is given. Weight 1 is the image itself, exactly.
    return partners(images, plan).lerp_(images, plan.lam.reshape(-1, 1, 1, 1).to(images.dtype)), done
