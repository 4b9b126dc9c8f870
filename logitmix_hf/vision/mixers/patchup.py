"""Altering blocks of a feature map: PatchUp, made for the inside of a network.

**Its loss and the plan.** Let u be the share of features that are left alone, y and y' the labels of the row and its
partner, and z the label of a block: y' (hard), or lam y + (1 - lam) y' (soft). The authors' loss is
u H(y) + (1 - u) H(z) + H(u y + (1 - u) z). H is linear in its target, so that both halves are one number, and the target
u y + (1 - u) z mixes y and y' by exactly the shares returned here: u for hard, u + (1 - u) lam for soft. Their loss is
therefore twice L_mix under the returned plan: weights (2, 0, 0) restore it. (Their H is the binary cross entropy of
the softmax; here it is the run's own.)

Source: Faramarzi et al., PatchUp: A Feature-Space Block-Level Regularization Technique for Convolutional Neural Networks,
2020 (arXiv 2006.07794), and the settings of its authors' code. They take PatchUp at hidden maps, CutMix at the input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.precision import exact
from logitmix_hf.vision.mixers.pasting import MaskedPlan, both, carried_out, draws


def block_sides(block_size: int, height: int, width: int) -> tuple[int, int]:
    """The sides of a block on a map of this size, odd, at most half of the map's.

    On a map hardly larger than the block, the authors' adjustment makes nearly everything a block.
    """
    half_height, half_width = max(1, height // 2), max(1, width // 2)
    tall, wide = min(block_size, half_height), min(block_size, half_width)
    return tall - (tall + 1) % 2, wide - (wide + 1) % 2


def seed_rate(gamma: Tensor, sides: tuple[int, int], height: int, width: int) -> Tensor:
    """The probability that a place is the centre of a block, as the authors adjust gamma (DropBlock's rule).

    gamma H W / (h w (H - h + 1) (W - w + 1)) for blocks of h x w; at most 1. Blocks overlap, so that less than gamma is
    altered where gamma is large.
    """
    tall, wide = sides
    places = (height - tall + 1) * (width - wide + 1)
    return (exact(gamma) * (height * width / (tall * wide * places))).clamp(max=1)


def _blocks(
    images: Tensor, gamma: Tensor, generator: torch.Generator, per: str, block_size: int, per_channel: bool
) -> Tensor:
    """(B or 1, C or 1, H, W) bool: true in a block; ``gamma``, (B,) or (1,), is how much of a row to alter."""
    check_number("block_size", block_size, low=1)
    if block_size % 2 != 1:
        raise UserError(f"block_size must be an odd whole number, got {block_size!r}.")
    channels, height, width = images.shape[1:]
    tall, wide = block_sides(int(block_size), height, width)
    shape = (draws(len(images), per), channels if per_channel else 1, height, width)
    noise = torch.rand(shape, generator=generator).to(images.device)
    centres = (noise < seed_rate(gamma, (tall, wide), height, width)[:, None, None, None]).float()
    # Down, then across: a square grows from its centre in 2 x 7 looks at each place instead of 49.
    grown = F.max_pool2d(centres, (tall, 1), stride=1, padding=(tall // 2, 0))
    return F.max_pool2d(grown, (1, wide), stride=1, padding=(0, wide // 2)) > 0


def _fixed(gamma: float, images: Tensor) -> Tensor:
    check_number("gamma", gamma, low=0, high=1)
    return torch.tensor([gamma], device=images.device)


def _altered(block: Tensor, plan: MixPlan, partners_part: Tensor) -> MaskedPlan:
    """The plan where each row, (B, 1, 1, 1), hands ``partners_part`` of its blocks to its partner."""
    return carried_out(plan, both(1 - block.float().mean(1, keepdim=True) * partners_part))


def hard(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    per: str = "batch",
    gamma: float | None = 0.5,
    block_size: int = 7,
    per_channel: bool = True,
) -> tuple[Tensor, MaskedPlan]:
    """Blocks become the partner's."""
    amount = 1 - plan.lam if gamma is None else _fixed(gamma, images)
    block = _blocks(images, amount, generator, per, block_size, per_channel)
    mixes = (plan.lam < 1).reshape(-1, 1, 1, 1)
    mixed = torch.where(block & mixes, images[plan.sources[:, 1]], images)
    return mixed, _altered(block, plan, mixes.float())


def soft(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    per: str = "batch",
    gamma: float = 0.75,
    block_size: int = 7,
    per_channel: bool = True,
) -> tuple[Tensor, MaskedPlan]:
    """Blocks become the mixture of the row's and the partner's."""
    block = _blocks(images, _fixed(gamma, images), generator, per, block_size, per_channel)
    lam = plan.lam.reshape(-1, 1, 1, 1)
    mixed = torch.where(block & (lam < 1), blend(images, plan), images)
    return mixed, _altered(block, plan, 1 - lam.float())
