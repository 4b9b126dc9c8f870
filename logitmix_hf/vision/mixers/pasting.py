"""The plan that a mixer carried out, and what mixers share: pasting, places, whole pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan
from logitmix_hf.precision import exact


@dataclass(frozen=True)
class MaskedPlan(MixPlan):
    """The plan that a mixer carried out.

    Attributes:
        masks: (B, K, 1, H, W) float32 in [0, 1], the share of source k at each pixel: they sum to 1 over K, and their
            means are the shares.
    """

    masks: Tensor | None = None

    @property
    def mask(self) -> Tensor | None:
        """(B, 1, H, W) the share of the row itself at each pixel; its mean is ``lam``."""
        return None if self.masks is None else self.masks[:, 0]


def both(own: Tensor) -> Tensor:
    """(B, 1, H, W) the mask of the rows themselves, to the masks of pairs (B, 2, 1, H, W)."""
    return torch.stack([own, 1 - own], 1)


def carried_out(plan: MixPlan, masks: Tensor) -> MaskedPlan:
    """The plan whose shares are the exact means of ``masks``, (B, K, 1, H, W), or (1, K, 1, H, W) where all rows have the
    same; the last source's share is what the others leave."""
    shares = exact(masks[:, :-1]).mean((2, 3, 4)).to(plan.shares.dtype)
    shares = torch.cat([shares, 1 - shares.sum(1, keepdim=True)], 1).expand(plan.rows, -1)
    return MaskedPlan(plan.sources, shares, masks.expand(plan.rows, -1, -1, -1, -1))


def channels_last(images: Tensor) -> bool:
    """Whether the channels of a pixel lie side by side, in whole images or in a window of them."""
    return images.stride(1) == 1 and images.shape[1] > 1


def partners(images: Tensor, plan: MixPlan) -> Tensor:
    """(B, C, H, W) a copy of each row's partner, in the memory format of ``images``.

    Runs of memory are copied, where ``images[...]`` goes pixel by pixel: several times as fast on a CPU.
    """
    if channels_last(images):
        return images.permute(0, 2, 3, 1).index_select(0, plan.sources[:, 1]).permute(0, 3, 1, 2)
    return images.index_select(0, plan.sources[:, 1])


def one_share(images: Tensor, plan: MixPlan, count: int) -> float | None:
    """The share of all rows, where they have one place and its number may be read: on a CPU only is that free.

    Then one mask is that of all rows: plain numbers say where a box lies (a tensor of one number costs as much as that
    of a batch), and nothing but the box is moved.
    """
    if count > 1 or images.device.type != "cpu":
        return None
    low, high = (float(one) for one in plan.lam.aminmax())
    return low if low == high else None


def paste_own(images: Tensor, others: Tensor, plan: MixPlan, own: Tensor) -> tuple[Tensor, MaskedPlan]:
    """Pairs: the row itself where ``own``, (B, H, W) or (1, H, W) bool, is true, and ``others``, (B, C, H, W), elsewhere."""
    # Of a byte each before they are numbers: less memory is moved than by both().
    masks = torch.stack([own, ~own], 1).unsqueeze(2).float()
    return torch.where(own.unsqueeze(1), images, others), carried_out(plan, masks)


def paste(images: Tensor, plan: MixPlan, masks: Tensor) -> tuple[Tensor, MaskedPlan]:
    """Every pixel from the sources that are there: ``sum_k masks[:, k] * images[sources[:, k]]``, of any number of sources.

    Args:
        images: (B, C, H, W) float. plan: (B, K).
        masks: (B, K, 1, H, W) in [0, 1], summing to 1 over K.
    """
    mixed = masks[:, 0].to(images.dtype) * images.index_select(0, plan.sources[:, 0])
    for k in range(1, plan.sources.shape[1]):
        mixed = mixed + masks[:, k].to(images.dtype) * images.index_select(0, plan.sources[:, k])
    return mixed, carried_out(plan, masks)


def draws(rows: int, per: str) -> int:
    """How many places to draw: one for the batch, or one a row.

    Raises:
        UserError: for another word.
    """
    if per not in ("batch", "example"):
        raise UserError(f"per must be 'batch' or 'example', got {per!r}.")
    return rows if per == "example" else 1


def step(share: float, length: int) -> int:
    """:func:`steps` of one number."""
    return min(max(math.floor(share * length + 1e-5), 0), length)


def steps(share: Tensor, length: int) -> Tensor:
    """Whole pixels of a side: floor(share * length), unhurt by the rounding of float32."""
    return (exact(share) * length + 1e-5).floor().long().clamp(0, length)
