"""What an image mixer is: a pure function of images, plan and generator that says what it really did."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logitmix_hf.errors import UserError, nearest
from logitmix_hf.plan import MixPlan


@dataclass(frozen=True)
class MaskedPlan(MixPlan):
    """The plan that a mixer carried out.

    Attributes:
        mask: (B, 1, H, W) float32 in [0, 1], the share of the row itself at each pixel; its mean is ``lam``.
    """

    mask: Tensor | None = None


@dataclass(frozen=True)
class Mixer:
    """A way to combine two images; the row is its card.

    Attributes:
        name: what ``--mixer`` takes.
        idea: what it does, in a line.
        source: the paper.
        alpha: of Beta(alpha, alpha) where it is used alone.
        w_sim: weight of L_sim where it is LogitMix's base.
        function: (images, plan, generator, **options) -> (mixed, carried out).
        needs_saliency: whether a call needs ``saliency=``.
        hidden: whether it may also run on feature maps inside a network.
        blends: whether it mixes value by value: then also vectors, and more than two rows.
        note: what to know before using it.
    """

    name: str
    idea: str
    source: str
    alpha: float
    w_sim: float
    function: Callable[..., tuple[Tensor, MaskedPlan]]
    needs_saliency: bool = False
    hidden: bool = False
    blends: bool = False
    note: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options of a call by name, with their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "saliency"}

    def __call__(
        self,
        images: Tensor,
        plan: MixPlan,
        generator: torch.Generator,
        *,
        saliency: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, MaskedPlan]:
        """Mix one batch; ``images`` and ``plan`` are left untouched.

        Args:
            images: (B, C, H, W) float of any dtype.
            plan: pairs, (B, 2), or (B, K) where it :attr:`blends`: how much of each row should survive. A row of share 1
                comes back as it was.
            generator: on the CPU, the only source of randomness.
            saliency: (B, H, W) >= 0, for mixers that need it; others ignore it.
            options: see :attr:`options`.

        Returns:
            The mixed images, and the plan that was carried out: same sources, shares the exact means of the masks.

        Raises:
            UserError: for an unknown option, a missing saliency, or shapes that do not fit.
        """
        for option in options:
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise UserError(
                    f"mixer {self.name!r} has no option {option!r}.{nearest(option, self.options)} Known: {known}."
                )
        if images.ndim != 4 or not images.is_floating_point():
            raise UserError(f"images must be (B, C, H, W) float, got {tuple(images.shape)} {images.dtype}.")
        if plan.rows != len(images) or (plan.sources.shape[1] != 2 and not self.blends):
            raise UserError(
                f"mixer {self.name!r} mixes pairs: the plan must be ({len(images)}, 2), got {tuple(plan.sources.shape)}."
            )
        if self.needs_saliency:
            wanted = (len(images), *images.shape[2:])
            if saliency is None or saliency.shape != wanted:
                got = "none" if saliency is None else tuple(saliency.shape)
                raise UserError(f"mixer {self.name!r} needs saliency of the shape {wanted}, got {got}.")
            options["saliency"] = saliency
        if plan.sources.device != images.device:
            plan = plan.to(images.device)
        return self.function(images, plan, generator, **options)


def carried_out(plan: MixPlan, mask: Tensor) -> MaskedPlan:
    """The plan whose shares are the exact means of ``mask``: (B, 1, H, W)."""
    keep = mask.double().mean((1, 2, 3)).to(plan.shares.dtype)
    return MaskedPlan(plan.sources, torch.stack([keep, 1 - keep], 1), mask)


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


def paste(images: Tensor, others: Tensor, plan: MixPlan, own: Tensor) -> tuple[Tensor, MaskedPlan]:
    """Take the row itself where ``own``, (B, H, W) bool, is true, and ``others``, (B, C, H, W), elsewhere."""
    own = own.unsqueeze(1)
    return torch.where(own, images, others), carried_out(plan, own.float())


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
    return (share.double() * length + 1e-5).floor().long().clamp(0, length)
