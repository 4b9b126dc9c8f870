"""Blending whole images."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer, partners


def _mixup(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    if plan.sources.shape[1] != 2:
        mask = plan.lam.float().reshape(-1, 1, 1, 1).expand(-1, 1, *images.shape[2:])
        return blend(images, plan), MaskedPlan(plan.sources, plan.shares, mask)
    keep = plan.lam.reshape(-1, 1, 1, 1)
    # In place on the copy: what a large batch costs is the memory that it is given. Weight 1 is the image itself, exactly.
    mixed = partners(images, plan).lerp_(images, keep.to(images.dtype))
    return mixed, MaskedPlan(plan.sources, plan.shares, keep.float().expand(-1, 1, *images.shape[2:]))


MIXERS = (
    Mixer(
        "mixup",
        "blend two images pixel by pixel",
        "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
        alpha=0.4,
        w_sim=1.0,
        function=_mixup,
        hidden=True,
        blends=True,
        note="Beta(0.4, 0.4) is what the LogitMix authors give their Mixup baseline.",
    ),
)
