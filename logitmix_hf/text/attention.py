"""What a mixed row attends to, and how positions mix that only one of its sources has."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan

if TYPE_CHECKING:
    from logitmix_hf.text.sites import TextSites


@dataclass(frozen=True)
class TokenShares:
    """The shares of a plan, token by token.

    Attributes:
        plan: the plan.
        padded: whether the batch came with a mask.
        shares: (B, K, S) float, what each source gives to the vector at a position: its share where it has a token
            there, renormalised over the sources that have one. Padding never enters a mixture.
        union: (B, S) bool, some source with a share above 0 has a token there.
        weight: (B, S) float in [0, 1], the summed share of the sources that have a token there.
        alone: mixed rows run without the clean ones.
        times: m, how many rows the plan makes of each of the batch: all of the above have m B rows.
    """

    plan: MixPlan
    padded: bool
    shares: Tensor
    union: Tensor
    weight: Tensor
    alone: bool = False
    times: int = 1

    @property
    def rows(self) -> int:
        """B."""
        return self.shares.shape[0] // self.times

    @property
    def length(self) -> int:
        """S."""
        return self.shares.shape[2]

    @property
    def size(self) -> tuple[int, int, int]:
        """B, S and m."""
        return self.rows, self.length, self.times

    def tensors(self) -> tuple[Tensor, ...]:
        """All that it holds."""
        return (self.plan.sources, self.plan.shares, self.shares, self.union, self.weight)

    @classmethod
    def of(cls, mask: Tensor | None, plan: MixPlan, length: int, times: int = 1) -> TokenShares:
        """From the batch's 2-D attention mask (B, S), or None where every position holds a token."""
        own_shares = plan.shares.unsqueeze(2)
        if mask is None:
            ones = torch.ones(plan.rows, length, device=plan.shares.device)
            return cls(plan, False, own_shares.expand(-1, -1, length), ones.bool(), ones, times=times)
        if mask.ndim != 2:
            raise UserError(f"attention_mask must be (rows, tokens), got shape {tuple(mask.shape)}.")
        present = mask.bool()[plan.sources] & (own_shares > 0)
        held = own_shares * present
        weight = held.sum(1)
        shares = torch.where(weight.unsqueeze(1) > 0, held / weight.clamp_min(1e-30).unsqueeze(1), own_shares)
        return cls(plan, True, shares, present.any(1), weight, times=times)

    def append_blend(self, hidden: Tensor) -> Tensor:
        """(B, S, H) -> ((1 + m) B, S, H): the clean rows, then their mixtures; those alone, (m B, S, H), where they run so."""
        if hidden.ndim != 3 or hidden.shape[1] != self.length:
            raise UserError(
                f"hidden states at the site have shape {tuple(hidden.shape)}, not (rows, {self.length} tokens, width):"
                " load the model with attn_implementation='sdpa' or mix at 'pooled'."
            )
        shares = self.shares.to(hidden.dtype).unsqueeze(3)
        mixed = shares[:, 0] * hidden[self.plan.sources[:, 0]]
        for k in range(1, shares.shape[1]):
            mixed = mixed + shares[:, k] * hidden[self.plan.sources[:, k]]
        return mixed if self.alone else torch.cat([hidden, mixed])

    def bias(self, dtype: torch.dtype) -> Tensor:
        """((1 + m) B, 1, 1, S), or (m B, 1, 1, S) for mixed rows alone, added to attention scores: 0 for clean rows, log of the
        weight for mixed ones.

        exp(score + log w) = w exp(score): a key counts by the share of the sentences that have it.
        """
        soft = self.weight.clamp_min(torch.finfo(dtype).tiny).log().to(dtype)
        soft = torch.where(self.union, soft, torch.finfo(dtype).min)
        return (soft if self.alone else torch.cat([torch.zeros_like(soft[: self.rows]), soft]))[:, None, None, :]


def takes_soft_mask(config: Any, sites: TextSites) -> bool:
    """Whether the layers add a 4-D mask to their scores: sdpa or eager attention fed a mask by name.

    DeBERTa's layers read their mask as booleans; flash and flex attention take none of this kind.
    """
    implementation = getattr(config, "_attn_implementation", None)
    if sites.causal or implementation not in ("sdpa", "eager"):
        return False
    layer = sites.layers[0]
    # Relative-position attention of the DeBERTa kind masks inside its own softmax.
    relative = "rel_embeddings" in inspect.signature(layer.forward).parameters
    return not relative and "attention_mask" in inspect.signature(layer.forward).parameters


def mask_position(layer: nn.Module) -> int:
    """Where a layer that takes a soft mask (:func:`takes_soft_mask`) expects it among its positional arguments."""
    return list(inspect.signature(layer.forward).parameters).index("attention_mask")


def add_soft_bias(
    position: int, args: tuple[Any, ...], kwargs: dict[str, Any], tokens: TokenShares
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's arguments with the bias of ``tokens`` in its attention mask, wherever the caller put that; ``position`` is
    its :func:`mask_position`."""
    by_position = len(args) > position
    mask = args[position] if by_position else kwargs.get("attention_mask")
    hidden = args[0] if args else kwargs["hidden_states"]
    bias = tokens.bias(hidden.dtype)
    if mask is None:
        mask = bias
    elif mask.dtype == torch.bool:
        mask = torch.where(mask, bias, torch.finfo(bias.dtype).min)
    else:
        # Both halves may be at the lowest number already: their sum would be -inf, and a row of those NaN.
        mask = (mask + bias).clamp_min(torch.finfo(mask.dtype).min)
    if by_position:
        return (*args[:position], mask, *args[position + 1 :]), kwargs
    return args, {**kwargs, "attention_mask": mask}
