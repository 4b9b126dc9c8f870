"""Who of the members sees which image of a batch, where on the maps, and how much its answer weighs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from logitmix_hf.errors import check_choice, check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.precision import exact
from logitmix_hf.vision.member_masks import HEAD_TARGETS, MASKS, check_mask, check_root
from logitmix_hf.vision.mixers import MIXERS

__all__ = ["MASKS", "MemberPlan", "draw_members", "mask_probability", "member_weights"]

_OPTIONS = {"patchup_hard": {"gamma": None, "per_channel": False}}
_TURNED = ("vconcat", "hconcat")
_COW = (0.2, 0.8)  # CowMask draws its own share (French et al. 2020; Ramé et al. keep that)


@dataclass(frozen=True)
class MemberPlan(MixPlan):
    """Member k of row i sees the image ``sources[i, k]`` of the batch; column 0 is the row itself.

    Attributes:
        sources: (B, M) int64.
        shares: (B, M) float, the exact means of ``masks``; each row sums to 1.
        masks: (B, M, h, w) float on the maps after the first convolution, or (B, M, 1, 1) where they do not vary; they
            sum to 1 over M.
        weights: (B, M) float, how much the answer about each image weighs; each row sums to M.
        answers: (B, M) int64, the column that head k answers for; None: its own.

    Raises:
        ValueError: for shapes that do not fit.
    """

    masks: Tensor
    weights: Tensor
    answers: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks.ndim != 4 or self.masks.shape[:2] != self.sources.shape:
            raise ValueError(
                f"masks must be (B, M, h, w) of {tuple(self.sources.shape)}, got {tuple(self.masks.shape)}."
            )
        if self.weights.shape != self.sources.shape:
            raise ValueError(f"weights must be (B, M), {tuple(self.sources.shape)}, got {tuple(self.weights.shape)}.")

    @property
    def members(self) -> int:
        """M."""
        return self.sources.shape[1]


def member_weights(shares: Tensor, root: float) -> Tensor:
    """How much each member's loss weighs: (..., M) -> (..., M), ``M share^(1/r) / sum_j share_j^(1/r)``.

    Ramé et al., eq. 3. r = 1 weighs by the shares, as methods with one output do; the larger r, the more equal. The
    member that is seen more weighs more.

    Args:
        shares: at least 0, not all 0, of M members.
        root: r above 0; ``inf``: all 1, also at a share of 0.

    Raises:
        UserError: for a root that is not above 0.
    """
    check_root(root)
    if math.isinf(root):
        return torch.ones_like(shares)
    powers = exact(shares).clamp(min=0) ** (1 / root)
    return (shares.shape[-1] * powers / powers.sum(-1, keepdim=True)).to(shares.dtype)


def mask_probability(prob: float, epoch: float, epochs: float, fall: float = 1 / 12) -> float:
    """The share of batches that take the mask in this epoch; the others mix linearly.

    ``prob`` until the last ``fall`` of training, then in a line to 0 at its end (Ramé et al., section 3.4, with the
    numbers of their code: a twelfth, constant within an epoch).

    Args:
        prob: in [0, 1].
        epoch: from 1; of a training of fewer epochs than 1 / ``fall`` give the part of it that is behind.
        epochs: of the whole training.
        fall: in [0, 1]; 0: it never falls.
    """
    done = epoch / epochs if epochs else 0.0
    if fall == 0 or done < 1 - fall:
        return prob
    return prob * min(1.0, max(0.0, (1 - done) / fall))


def draw_members(
    rows: int,
    members: int,
    shape: tuple[int, int],
    generator: torch.Generator,
    *,
    mask: str = "cutmix",
    alpha: float = 2.0,
    root: float = 3.0,
    head_target: str = "own",
) -> MemberPlan:
    """Draw who sees what in one batch.

    Once a batch: which member gets which of the masks (roles). For each row: shares ~ Dirichlet(alpha, …, alpha), which
    for two members is Beta(alpha, alpha), and the mask. Partners are a fresh permutation for each member beyond the
    first; it may have fixed points, as in the authors' code.

    Args:
        rows: B, at least 1; the last batch of an epoch may have fewer rows than members, some then see one row twice.
        members: M, at least 2.
        shape: (h, w) of the maps after the first convolution.
        generator: a CPU generator, the only source of randomness.
        mask: a name in :data:`MASKS`. ``linear``: all places by the shares. ``cutmix``: a box whose area is the share of
            one member, clipped at the edges; outside of it the others share by what they drew.
        alpha: at least 0; 0: equal shares (MIMO).
        root: r of :func:`member_weights`.
        head_target: a name in ``HEAD_TARGETS``.

    Returns:
        A plan on the CPU, its shares the exact means of its masks.

    Raises:
        UserError: for arguments out of their range.
    """
    check_number("members", members, low=2)
    check_number("rows", rows, low=1)
    check_number("alpha", alpha, low=0)
    check_mask(mask, members)
    check_root(root)
    check_choice("head_target", head_target, tuple(HEAD_TARGETS))
    roles = torch.randperm(members, generator=generator)
    drawn = _dirichlet(rows, members, alpha, generator)
    sources = [torch.arange(rows), *(torch.randperm(rows, generator=generator) for _ in range(members - 1))]
    if mask == "linear":
        masks = drawn.float()[:, :, None, None]
    else:
        masks = _masks(mask, drawn, shape, generator)
    masks = masks.index_select(1, roles)
    shares = masks.double().mean((2, 3))
    shares = (shares / shares.sum(1, keepdim=True)).float()
    plan = MemberPlan(torch.stack(sources, 1), shares, masks, member_weights(shares, root))
    return answering(plan, head_target, generator)


def answering(plan: MemberPlan, head_target: str, generator: torch.Generator) -> MemberPlan:
    """The plan with what each head answers for."""
    if head_target == "own":
        return plan
    if head_target == "larger":
        return replace(plan, answers=torch.argsort(plan.shares, dim=1, descending=True, stable=True))
    return replace(plan, answers=torch.rand(plan.shares.shape, generator=generator).argsort(1))


def _dirichlet(rows: int, members: int, alpha: float, generator: torch.Generator) -> Tensor:
    """(B, M) float64."""
    # Quantiles of uniform draws: torch has no Dirichlet that takes a generator.
    uniform = torch.rand(rows, members, generator=generator, dtype=torch.float64).numpy()
    if alpha == 0:
        return torch.full((rows, members), 1 / members, dtype=torch.float64)
    parts = gammaincinv(alpha, uniform)
    # For the least alphas all parts may be below what a float holds: the limit is one member alone.
    alone = np.eye(members)[uniform.argmax(1)]
    parts = np.where(parts.sum(1, keepdims=True) > 0, parts, alone)
    return torch.from_numpy(parts / parts.sum(1, keepdims=True))


def _masks(mask: str, drawn: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(B, M, h, w): column 0 what the mixer gives to a partner, the others share the rest by what they drew."""
    rows = len(drawn)
    first = drawn[:, 0]
    if mask == "cowmask":
        low, high = _COW
        first = low + (high - low) * torch.rand(rows, generator=generator, dtype=torch.float64)
    pairs = torch.stack([1 - first, first], 1).float()
    mixer = MIXERS[mask]
    options = dict(_OPTIONS.get(mask, {}))
    if "per" in mixer.options:
        options["per"] = "example"
    nothing = torch.zeros(rows, 1, *shape)
    _, carried = mixer(nothing, MixPlan(torch.arange(rows)[:, None].expand(-1, 2), pairs), generator, **options)
    assert carried.masks is not None
    given = carried.masks[:, 1, 0].float()
    if mask in _TURNED:  # half of the rows the other way round, so that either part may be a member's
        turn = torch.rand(rows, generator=generator) < 0.5
        given = torch.where(turn[:, None, None], given.flip(1, 2), given)
    left = drawn[:, 1:].sum(1, keepdim=True)
    equal = torch.full_like(drawn[:, 1:], 1 / (drawn.shape[1] - 1))  # where the first drew all, to a double's precision
    others = torch.where(left > 0, drawn[:, 1:] / left.clamp(min=torch.finfo(torch.float64).tiny), equal)
    rest = (1 - given).unsqueeze(1) * others.float()[:, :, None, None]
    return torch.cat([given.unsqueeze(1), rest], 1)
