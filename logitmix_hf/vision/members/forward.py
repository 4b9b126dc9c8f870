"""One pass of a network with members, each of which sees an image of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.models.hooked import HookedForward
from logitmix_hf.models.unwrap import logits_of, unwrap
from logitmix_hf.vision.members.plan import MemberPlan
from logitmix_hf.vision.networks.members import stems_of


class MemberForward(HookedForward):
    """Run the images of a batch through a network with members; usable in anybody's own loop.

    Args:
        model: a network with members (``build_network(..., members=2)``), also inside DDP or ``torch.compile``.

    Raises:
        UserError: for a network without members.

    Example:
        >>> forward = MemberForward(build_network("digits", 10, 8, members=2))  # doctest: +SKIP
        >>> plan = draw_members(len(images), 2, forward.map_size(images), generator)  # doctest: +SKIP
        >>> forward({"pixel_values": images}, plan)  # (B, 2, 10)  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        base: Any = unwrap(model)
        stem = stems_of(base)
        if stem is None:
            name = getattr(getattr(base, "config", None), "architecture", None) or type(base).__name__
            raise UserError(
                f"{name} has no members: build it with build_network(name, num_labels, members=2) (--members 2)."
            )
        self.stem = stem
        super().__init__(base)

    def map_size(self, images: Tensor) -> tuple[int, int]:
        """(h, w) of the maps on which the members' masks lie, for images (B, C, H, W)."""
        return self.stem.map_size(*images.shape[2:])

    def __call__(self, batch: Mapping[str, Any], plan: MemberPlan, model: nn.Module | None = None) -> Tensor:
        """The members' logits (B, M, C); of one head for all, (B, 1, C).

        Args:
            batch: ``pixel_values`` (B, C, H, W); without labels.
            plan: who sees what, B rows.
            model: the wrapped model to call in place of the one given at construction.

        Backward may run before :meth:`release` or the next pass of the model: a stage that checkpointing runs again
        needs the plan there, where the first convolution lies within (VGG).
        """
        pixels = batch["pixel_values"]
        if plan.members != self.stem.factor:
            raise UserError(f"the plan speaks of {plan.members} members, the network has {self.stem.factor}.")
        self.stem.plan = plan.to(pixels.device)
        with self._own_call():
            outputs = (self.model if model is None else model)(**batch)
        several = outputs.get("member_logits") if isinstance(outputs, Mapping) else None
        return logits_of(outputs).unsqueeze(1) if several is None else several

    def release(self) -> None:
        """Forget the plan: all members see the same image again."""
        self.stem.plan = None
