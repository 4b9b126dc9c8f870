"""The plan of several micro-batches as that of one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from logitmix_hf.plan import MixPlan


def join_plans(plans: Sequence[MixPlan]) -> MixPlan:
    """The plan of several micro-batches laid end to end: what makes 8 x 1, 1 x 8 and 2 processes x 4 comparable."""
    starts = np.cumsum([0] + [plan.rows for plan in plans[:-1]])
    sources = torch.cat([plan.sources + int(start) for plan, start in zip(plans, starts, strict=True)])
    return MixPlan(sources, torch.cat([plan.shares for plan in plans]))
