"""What the members' answers cost: each for the image that it saw, weighed by how much it saw of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.errors import UserError, check_choice, check_number
from logitmix_hf.losses import LossOutput, distance
from logitmix_hf.plan import MixPlan
from logitmix_hf.targets import PROBLEMS, infer_problem, targets_of
from logitmix_hf.vision.member_masks import check_root
from logitmix_hf.vision.members.plan import MemberPlan, member_weights
from logitmix_hf.vision.mixers.pasting import MaskedPlan


class MemberLoss(nn.Module):
    """``sum_k w_k H(f_k, y[sources_k])``, a mean over rows and a **sum** over members (Ramé et al., eq. 1 and 3).

    Args:
        root: r of :func:`member_weights`, from the plan's shares; None: the weights of the plan.
        problem_type: HF's word; None infers it.
        class_weights: C factors at least 0, or None.
        label_smoothing: e in [0, 1), once, in the targets.

    Raises:
        UserError: for an argument out of its range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        root: float | None = None,
        problem_type: str | None = None,
        class_weights: Sequence[float] | Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if root is not None:
            check_root(root)
        check_choice("problem_type", problem_type, (*PROBLEMS, None))
        check_number("label_smoothing", label_smoothing, low=0, high=1)
        self.root, self.problem_type, self.label_smoothing = root, problem_type, label_smoothing
        weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self, member_logits: Tensor, labels: Tensor, plan: MemberPlan, pixels: MixPlan | None = None
    ) -> LossOutput:
        """The loss of one batch.

        Args:
            member_logits: (B, M, C); (B, 1, C) or (B, C) of one head that answers for all images by their shares
                (Ramé et al., table 3).
            labels: (B,) int classes, (B, C) float, or (B,) / (B, 1) float values, of the rows of the batch.
            plan: who saw what.
            pixels: how the images themselves were mixed before, if they were: each label then counts by what the
                member's mask leaves visible of it (:func:`visible_shares`).

        Returns:
            ``per_example`` (B,), and the term ``mix``, which is the same.

        Raises:
            UserError: for a number of heads that does not fit the plan.
        """
        logits = member_logits.unsqueeze(1) if member_logits.ndim == 2 else member_logits
        logits = logits if logits.dtype == torch.float64 else logits.float()
        plan = plan.to(logits.device)
        heads, count = logits.shape[1], plan.members
        if heads not in (1, count):
            raise UserError(f"the network has {heads} heads, the plan {count} members: give it one, or {count}.")
        problem = self.problem_type or infer_problem(logits[:, 0], labels)
        targets = targets_of(labels, logits[:, 0], problem, self.label_smoothing).to(logits.dtype)
        if heads == 1:
            weights = plan.shares
        else:
            weights = plan.weights if self.root is None else member_weights(plan.shares, self.root)
        visible = None if pixels is None else visible_shares(plan, pixels.to(logits.device))
        parts = []
        for k in range(count):
            column = self._column(plan, heads, k)
            answer = logits[:, 0 if heads == 1 else k]
            source = plan.sources.gather(1, column)[:, 0]
            cost = distance(answer, targets[source], problem, self.class_weights)
            if visible is not None and pixels is not None:
                share = visible.gather(1, column)[:, 0].to(cost.dtype)
                partner = pixels.sources.to(source.device)[source, 1]
                cost = share * cost + (1 - share) * distance(answer, targets[partner], problem, self.class_weights)
            parts.append(weights.gather(1, column)[:, 0].to(cost.dtype) * cost)
        total = torch.stack(parts).sum(0)
        return LossOutput(total.mean(), total, {"mix": total})

    def _column(self, plan: MemberPlan, heads: int, k: int) -> Tensor:
        """(B, 1) the column of the plan that head k answers for."""
        if heads == 1 or plan.answers is None:
            return torch.full((plan.rows, 1), k, device=plan.sources.device)
        return plan.answers[:, k : k + 1]


def visible_shares(plan: MemberPlan, pixels: MixPlan) -> Tensor:
    """(B, M) how much of the image that member k sees is the image itself, not its partner in the pixels.

    ``mean(pixel mask * member mask) / mean(member mask)``: what the member's mask hides does not count (the authors'
    code). Where a member sees nothing, or the pixels were blended, the plain share.
    """
    own = pixels.lam.to(plan.masks.dtype)[plan.sources]
    if not isinstance(pixels, MaskedPlan) or pixels.mask is None or plan.masks.shape[2:] == (1, 1):
        return own
    height, width = plan.masks.shape[2:]
    # A stem of stride 2 sees half the places: the mask of the pixels is averaged down to them.
    mask = F.adaptive_avg_pool2d(pixels.mask.to(plan.masks.dtype), (height, width))[:, 0]
    area = plan.masks.sum((2, 3))
    seen = torch.stack([(mask[plan.sources[:, k]] * plan.masks[:, k]).sum((1, 2)) for k in range(plan.members)], 1)
    return torch.where(area > 0, seen / area.clamp(min=1e-12), own).clamp(0, 1)
