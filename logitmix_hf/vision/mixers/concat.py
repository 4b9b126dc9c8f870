"""Setting parts of two images side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer, draws, paste, steps


def _first(count: Tensor, length: int) -> Tensor:
    """(B, length) bool: true at the first ``count`` places."""
    return torch.arange(length, device=count.device) < count[:, None]


def _vconcat(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    own = _first(steps(plan.lam, height), height)[:, :, None].expand(-1, height, width)
    return paste(images, images[plan.sources[:, 1]], plan, own)


def _hconcat(images: Tensor, plan: MixPlan, generator: torch.Generator) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    own = _first(steps(plan.lam, width), width)[:, None, :].expand(-1, height, width)
    return paste(images, images[plan.sources[:, 1]], plan, own)


def _mixedconcat(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch"
) -> tuple[Tensor, MaskedPlan]:
    height, width = images.shape[2:]
    cut = torch.randint(width, (draws(len(images), per),), generator=generator).to(images.device)
    cut = torch.where(plan.lam < 1, cut, width)
    own = _first(steps(plan.lam, height), height)[:, :, None] == _first(cut, width)[:, None, :]
    return paste(images, images[plan.sources[:, 1]], plan, own)


_SOURCE = "Summers and Dinneen, Improved Mixed-Example Data Augmentation, WACV 2019"
MIXERS = (
    Mixer("vconcat", "the upper part of one image above the lower part of the other", _SOURCE, 1.0, 0.1, _vconcat),
    Mixer("hconcat", "the left part of one image beside the right part of the other", _SOURCE, 1.0, 0.1, _hconcat),
    Mixer(
        "mixedconcat",
        "both cuts at once: a chequerboard of two by two",
        _SOURCE,
        alpha=1.0,
        w_sim=0.1,
        function=_mixedconcat,
        note="The horizontal cut follows the share that was drawn, the vertical one is drawn beside it.",
    ),
)
