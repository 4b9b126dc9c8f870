"""Blending whole images."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer


def _mixup(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    mask = plan.lam.float().reshape(-1, 1, 1, 1).expand(-1, 1, *images.shape[2:])
    return blend(images, plan), MaskedPlan(plan.sources, plan.shares, mask)


MIXERS = (
    Mixer(
        "mixup",
        "blend two images pixel by pixel",
        "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
        alpha=0.4,
        w_sim=1.0,
        function=_mixup,
        hidden=True,
        note="Beta(0.4, 0.4) is what the LogitMix authors give their Mixup baseline.",
    ),
)
