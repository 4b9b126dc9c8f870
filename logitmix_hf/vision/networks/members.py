"""Several subnetworks in one network (MIMO, MixMo): a first convolution and a last linear layer for each member.

All members share the trunk. In training the images of a batch are mixed right after the first convolution, by a
:class:`~logitmix_hf.vision.members.MemberPlan` that the stem holds for one pass; without a plan, so in every evaluation,
all members see the same image, and their sum is **one** convolution. With averaged logits both ends are linear, so that
``collapsed`` writes a trained network as a plain one with the same logits, at a plain network's cost.

Source: Ramé, Sun, Cord, MixMo: Mixing Multiple Inputs for Multiple Outputs via Deep Subnetworks, ICCV 2021, section 3;
Havasi et al., Training independent subnetworks for robust prediction (MIMO), ICLR 2021.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.errors import UserError, check_choice, check_number
from logitmix_hf.models.heads import find_heads
from logitmix_hf.precision import exact

if TYPE_CHECKING:
    from logitmix_hf.vision.members.plan import MemberPlan
    from logitmix_hf.vision.networks.config import ConvNetConfig

AVERAGES = {
    "logits": "the mean of the members' logits (MixMo): the trained network can be written as a plain one",
    "probs": "the logarithm of their mean probability (MIMO)",
}


class Stems(nn.Module):
    """The first convolutions of M members, or one that all of them share.

    Args:
        members: convolutions of equal shape: M, or one.
        factor: M, by which their mean is multiplied in both modes (Ramé et al., eq. 2; MIMO's sum of M convolutions).

    Attributes:
        plan: whose images each member sees in the pass under way; None: all see the same one.
    """

    def __init__(self, members: list[nn.Conv2d], factor: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.factor = factor
        self.plan: MemberPlan | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F, h, w): ``M sum_k mask_k * c_k(x)[sources_k]``, or without a plan ``sum_k c_k(x)``."""
        weight, bias = self._weights()
        if self.plan is None:
            one = weight.unflatten(0, (len(self.members), -1)).sum(0)
            own = None if bias is None else bias.unflatten(0, (len(self.members), -1)).sum(0)
            return self._convolve(x, one, own) * (self.factor / len(self.members))
        plan = self.plan
        if plan.rows != len(x):
            raise UserError(
                f"the plan speaks of {plan.rows} rows, the batch has {len(x)}: draw the plan for this batch."
            )
        # One convolution for all members; a member's image is a row of the same batch, and c(x)[s] = c(x[s]).
        seen = self._convolve(x, weight, bias)
        parts = seen.chunk(len(self.members), dim=1)
        masks = (self.factor * plan.masks).to(seen.dtype).unsqueeze(2)
        # What member 0 sees is the row itself: no gather.
        mixed = masks[:, 0] * parts[0]
        for k in range(1, plan.sources.shape[1]):
            mixed = mixed + masks[:, k] * parts[k % len(parts)].index_select(0, plan.sources[:, k])
        return mixed

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of the maps that come out of images of that size: where masks are drawn."""
        first: Any = self.members[0]
        sides = []
        for number, side in enumerate((height, width)):
            kernel = first.dilation[number] * (first.kernel_size[number] - 1) + 1
            sides.append((side + 2 * first.padding[number] - kernel) // first.stride[number] + 1)
        return sides[0], sides[1]

    def collapsed(self) -> nn.Conv2d:
        """One convolution that does what evaluation does: the sum of the members, times M over their number."""
        plain: Any = copy.deepcopy(self.members[0])
        weight, bias = self._weights()
        scale = self.factor / len(self.members)
        with torch.no_grad():
            plain.weight.copy_(exact(weight).unflatten(0, (len(self.members), -1)).sum(0) * scale)
            if bias is not None:
                plain.bias.copy_(exact(bias).unflatten(0, (len(self.members), -1)).sum(0) * scale)
        return plain

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        """The members' weights (M F, C, kh, kw) and biases (M F,) or None, as one convolution has them."""
        members: Any = self.members
        weight = torch.cat([one.weight for one in members]) if len(members) > 1 else members[0].weight
        if members[0].bias is None:
            return weight, None
        return weight, torch.cat([one.bias for one in members])

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        first: Any = self.members[0]
        return F.conv2d(x, weight, bias, first.stride, first.padding, first.dilation)


class Heads(nn.Module):
    """The last linear layers, or 1x1 convolutions, of M members, as a list: a temperature is folded into each."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) or (B, F, 1, 1) of all members -> (B, M, C)."""
        return torch.stack([member(features).flatten(1) for member in self.members], dim=1)

    def collapsed(self) -> nn.Module:
        """One layer that gives the mean of the members' logits."""
        plain = copy.deepcopy(self.members[0])
        with torch.no_grad():
            for (_, target), *parts in zip(
                plain.named_parameters(), *(m.parameters() for m in self.members), strict=True
            ):
                target.copy_(torch.stack([exact(part) for part in parts]).mean(0))
        return plain


def check_members(config: ConvNetConfig) -> None:
    """Require numbers of members, encoders and heads that can be built.

    Raises:
        UserError: naming the setting, its value and what there is.
    """
    count = config.members
    check_number("members", count, low=1)
    for name in ("encoders", "heads"):
        value = getattr(config, name)
        if value not in (None, 1, count):
            raise UserError(f"{name} is {value!r}: one for all members (1), or one for each ({count}).")
    check_choice("ensemble_average", config.ensemble_average, tuple(AVERAGES))


def with_members(network: nn.Module, members: int, encoders: int | None = None, heads: int | None = None) -> None:
    """Give a network of images M first convolutions and M last linear layers, found by structure; in place.

    The network is called as before. New layers are initialised as PyTorch does; a ``PreTrainedModel`` of ours does it as
    its definition does.

    Args:
        network: whose first ``Conv2d`` sees the images, and whose last layer :func:`find_heads` finds.
        members: M; 1 leaves the network as it is.
        encoders, heads: 1 for a first convolution, or a last layer, that all members share (Ramé et al., table 3);
            None: M.

    Raises:
        UserError: for a number that cannot be, or a network without such layers.
    """
    check_number("members", members, low=1)
    if members == 1:
        return
    first = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), None)
    last, name = next(reversed(find_heads(network)), None), type(network).__name__
    if first is None:
        raise UserError(f"members need a first convolution, and {name} has none: take one of our networks.")
    if last is None:
        raise UserError(f"members need a last linear layer, and {name} has none that is recognised.")
    stem: Any = network.get_submodule(first)
    count = members if encoders is None else encoders
    network.set_submodule(first, Stems([stem, *(_fresh(stem) for _ in range(count - 1))], members))
    if heads != 1:
        head = network.get_submodule(last)
        network.set_submodule(last, Heads([head, *(_fresh(head) for _ in range(members - 1))]))


def _fresh(layer: nn.Module) -> Any:
    """A layer of the same shape with weights of its own."""
    made: Any = copy.deepcopy(layer)
    made.reset_parameters()
    return made


def stems_of(network: nn.Module) -> Stems | None:
    """The stem of a network with members; None for a plain one."""
    return next((module for module in network.modules() if isinstance(module, Stems)), None)


def ensemble(members: Tensor, average: str, problem: str | None) -> Tensor:
    """The logits of all members together: (B, M, C) -> (B, C).

    Args:
        average: a name in :data:`AVERAGES`. Values of a regression are averaged either way.
        problem: HF's word; None: classes, one a row.
    """
    if average == "logits" or problem == "regression":
        return members.mean(1)
    if problem == "multi_label_classification":
        yes, no = F.logsigmoid(members).logsumexp(1), F.logsigmoid(-members).logsumexp(1)
        return yes - no
    return members.log_softmax(2).logsumexp(1) - math.log(members.shape[1])
