"""The vocabulary of the package: who is mixed with whom, how much, and the one operation that does it.

Everything that mixes (hidden states, pixels, labels, logits) goes through the same :class:`MixPlan`, so the loss
cannot disagree with the data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from logitmix_hf.errors import UserError, check_number

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class MixPlan:
    """Row i of the mixed batch is ``sum_k shares[i, k] * x[sources[i, k]]``.

    Attributes:
        sources: (B, K) int64, rows of this batch; column 0 is the row itself.
        shares: (B, K) float >= 0, each row sums to 1; column 0 is lam, what survives of row i.

    K = 2 is Mixup and CutMix; a larger K holds Co-Mixup and networks with several inputs.

    Raises:
        ValueError: when the two shapes differ or are not two-dimensional, or ``sources`` is not int64.
    """

    sources: Tensor
    shares: Tensor

    def __post_init__(self) -> None:
        if self.sources.ndim != 2 or self.sources.shape != self.shares.shape:
            raise ValueError(
                f"sources and shares must both be (B, K), got {tuple(self.sources.shape)} and {tuple(self.shares.shape)}."
            )
        if self.sources.dtype != torch.int64 or not self.shares.is_floating_point():
            raise ValueError(
                f"sources must be int64 and shares float, got {self.sources.dtype} and {self.shares.dtype}."
            )

    @property
    def rows(self) -> int:
        """B, the number of rows of the batch."""
        return self.sources.shape[0]

    @property
    def lam(self) -> Tensor:
        """(B,) the share of the row itself."""
        return self.shares[:, 0]

    def to(self, device: torch.device | str) -> Self:
        """The same plan on ``device``, with all tensors that a kind of plan may add."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        moved = {name: sent(value, device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def sent(values: Tensor, device: torch.device | str) -> Tensor:
    """``values`` on ``device``. What goes to a GPU is copied from pinned memory, for which the host does not wait: it runs on
    to draw the next plan while the GPU is at this one."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def blend(x: Tensor, plan: MixPlan) -> Tensor:
    """Mix the rows of ``x`` as ``plan`` says: (B, ...) float -> (B, ...) float of the same dtype.

    Pixels, hidden states, one-hot labels, regression targets and logits all mix here. ``x`` is left untouched.
    """
    shares = plan.shares.to(x.dtype).reshape(*plan.shares.shape, *[1] * (x.ndim - 1))
    # One source after the other: a (B, K, ...) gather would need K times the memory of the batch.
    mixed = shares[:, 0] * x.index_select(0, plan.sources[:, 0])
    for k in range(1, plan.sources.shape[1]):
        mixed = mixed + shares[:, k] * x.index_select(0, plan.sources[:, k])
    return mixed


def draw_plan(
    rows: int,
    alpha: float,
    generator: torch.Generator,
    per: Literal["batch", "example"] = "batch",
    lam: float | None = None,
    atom: float = 0.0,
) -> MixPlan:
    """Pair every row with a row of a random permutation of the batch and draw the share that it keeps.

    Args:
        rows: B, at least 1. A batch of one is mixed with itself.
        alpha: lam ~ Beta(alpha, alpha), at least 0; 0 means no mixing (lam = 1). Mixup, Zhang et al. 2018, eq. 1;
            LogitMix, IJCAI 2022, section 5.5, takes 3.
        generator: a CPU generator, the only source of randomness.
        per: one lam for the whole ``"batch"`` (the papers) or one for each ``"example"``.
        lam: a fixed share in [0, 1] in place of the draw (Mixup-Transformer takes 0.5 throughout).
        atom: the probability, in [0, 1], that a row keeps itself whole (lam = 1) instead, drawn for each row; what else is
            drawn stays as it is without.

    Returns:
        A plan with K = 2 on the CPU. The permutation may have fixed points, as in the authors' code.

    Raises:
        UserError: for arguments out of their range.
    """
    check_number("rows", rows, low=1)
    check_number("alpha", alpha, low=0)
    if per not in ("batch", "example"):
        raise UserError(f"per must be 'batch' or 'example', got {per!r}.")
    partner = torch.randperm(rows, generator=generator)
    draws = rows if per == "example" else 1
    # The quantile of a uniform draw: torch has no Beta that takes a generator.
    uniform = torch.rand(draws, generator=generator, dtype=torch.float64)
    if lam is not None:
        check_number("lam", lam, low=0, high=1)
        keep = torch.full((draws,), float(lam), dtype=torch.float64)
    elif alpha == 0:
        keep = torch.ones(draws, dtype=torch.float64)
    else:
        quantile = np.atleast_1d(betaincinv(alpha, alpha, uniform.numpy()))
        # SciPy has no answer for the least alphas, whose limit is a coin.
        keep = torch.from_numpy(np.where(np.isnan(quantile), uniform.numpy() > 0.5, quantile))
    check_number("atom", atom, low=0, high=1)
    if atom:
        whole = torch.rand(rows, generator=generator, dtype=torch.float64) < atom
        keep = keep.expand(rows).masked_fill(whole, 1.0)
    # By NumPy: for a batch of small images two calls of torch.stack would take longer than the mixing.
    sources, shares = np.empty((rows, 2), np.int64), np.empty((rows, 2), np.float32)
    sources[:, 0], sources[:, 1] = np.arange(rows), partner.numpy()
    shares[:, 0] = keep.numpy()
    shares[:, 1] = 1 - shares[:, 0]
    return MixPlan(torch.from_numpy(sources), torch.from_numpy(shares))


def with_views(plan: MixPlan) -> MixPlan:
    """The plan of 2B rows: each row of the batch whole (a second view of it, lam = 1), then the rows of ``plan``."""
    own = plan.sources[:, :1].expand_as(plan.sources)
    whole = torch.zeros_like(plan.shares)
    whole[:, 0] = 1
    return MixPlan(torch.cat([own, plan.sources]), torch.cat([whole, plan.shares]))


def step_generator(seed: int, step: int, micro_step: int = 0, process: int = 0, purpose: int = 0) -> torch.Generator:
    """The generator of one micro-batch, derived from where it stands and from nothing else.

    There is no state to save: a resumed run draws the same plans, dropout and data order cannot shift them, and the
    processes of one run draw different ones (with one seed everywhere they would all draw the same).

    Args:
        seed: the run's seed, at least 0.
        step: optimiser steps done so far.
        micro_step: position within the accumulated batch.
        process: rank of the process.
        purpose: a further stream of the same micro-batch.
    """
    words = np.random.SeedSequence([seed, step, micro_step, process, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
