"""The step of several subnetworks in one network: MIMO and MixMo (Ramé et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.models.unwrap import logits_of
from logitmix_hf.plan import MixPlan
from logitmix_hf.steps.mixed import MixedStep
from logitmix_hf.steps.step import StepResult, Where
from logitmix_hf.steps.task_loss import TaskLoss
from logitmix_hf.vision.members.forward import MemberForward
from logitmix_hf.vision.members.loss import MemberLoss
from logitmix_hf.vision.members.plan import MemberPlan, draw_members, mask_probability
from logitmix_hf.vision.networks.members import stems_of

MEMBERS = 3
"""Purpose of the generator that members are drawn from: 0 draws lam and places, 1 the mixer, 2 the preview."""


class MemberStep(MixedStep):
    """See :class:`logitmix_hf.steps.MixStep`; the network has as many members as ``mix.members``.

    Each member sees an image of its own of the same batch and answers for it. Where a mixer is named, the images are
    mixed in the pixels first. **An experiment, off by default**: with ``w_cls`` or ``w_sim`` above 0 clean and pixel-mixed
    rows also go through as in evaluation, all members seeing the same, and every head takes these terms of LogitMix.

    Raises:
        UserError: when the network has another number of members.
    """

    terms: tuple[str, ...] = ("mix", "cls", "sim", "lam")

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any, loss: TaskLoss) -> None:
        super().__init__(model, mix, processor, loss)
        found = getattr(getattr(model, "config", None), "members", None) or 1
        if found != mix.members:
            raise UserError(
                f"method {mix.method!r} is to train {mix.members} members, and the network has {found}: build it with"
                f" build_network(name, num_labels, members={mix.members}), or give MixArguments(members={found})."
            )
        self.forward = MemberForward(model) if found > 1 else None
        self._extra = {"mix": 0.0, "cls": mix.weights["cls"], "sim": mix.weights["sim"]}
        stages = getattr(model, "stages", ())
        self._inside_stage = any(stems_of(stage) is not None for stage in stages)

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        pixels, carried = self._mixed_pixels(batch, labels, where)
        mixed = {**batch, "pixel_values": pixels}
        generator = where.generator(MEMBERS)
        # One draw decides for the whole batch, whatever else is drawn.
        masked = float(torch.rand((), generator=generator)) < self._mask_prob(where)
        if self.forward is None:
            plan = _alone(len(labels), pixels)
            members = logits_of(model(**mixed)).unsqueeze(1)
        else:
            plan = self.draw_members(len(labels), self.forward.map_size(pixels), generator, masked)
            members = self.forward(mixed, plan, model)
        logits = members.detach().mean(1)
        task = self.loss.of(self._mix.weights, model, logits, labels)
        loss = MemberLoss(None, task.problem_type, task.class_weights, task.label_smoothing)
        out = loss(members, labels, plan, carried)
        # What a member sees most of, on average: 1 for members that are each shown one image whole.
        terms = {**out.terms, "lam": plan.shares.max(1).values.to(logits.device)}
        per_example = out.per_example * self._mix.weights["mix"]
        if self._extra["cls"] or self._extra["sim"]:
            added, more = self._single_image(model, batch, pixels, labels, carried)
            per_example, terms = per_example + added, terms | more
        return StepResult(per_example, terms, logits)

    def draw_members(
        self, rows: int, shape: tuple[int, int], generator: torch.Generator, masked: bool = True
    ) -> MemberPlan:
        """Who sees what in one batch, by the mask of the run or linearly."""
        mix: Any = self._mix
        mask = mix.member_mask if masked else "linear"
        return draw_members(
            rows,
            mix.members,
            shape,
            generator,
            mask=mask,
            alpha=mix.member_alpha,
            root=mix.weight_root,
            head_target=mix.head_target,
        )

    def release(self) -> None:
        super().release()
        if self.forward is not None:
            self.forward.release()

    def remove(self) -> None:
        super().remove()
        if self.forward is not None:
            self.forward.remove()

    def _mask_prob(self, where: Where) -> float:
        mix: Any = self._mix
        if mix.member_mask == "linear" or not mix.member_mask_prob:
            return 0.0
        epochs = where.epochs or 1
        epoch = where.share_done * epochs
        if epochs * mix.member_mask_fall >= 1:  # constant within an epoch, as the authors have it
            # Half of a thousandth of an epoch: a share is a quotient of steps, as rounded.
            epoch = int(epoch + 5e-4) + 1
        return mask_probability(mix.member_mask_prob, epoch, epochs, mix.member_mask_fall)

    def _mixed_pixels(self, batch: Mapping[str, Any], labels: Tensor, where: Where) -> tuple[Tensor, MixPlan | None]:
        """The images as members are shown them, and how they were mixed, None where they were not."""
        pixels = batch["pixel_values"]
        if not self.mixes:
            return pixels, None
        generator, mix = where.generator(), self.choose(where)
        plan = None if mix is None else self.draw(len(labels), mix, generator)
        if mix is None or plan is None:
            return pixels, None
        passes: Any = self.passes
        return passes.forwards[mix.mixer].mix_pixels(batch, plan, generator, labels)

    def _single_image(
        self, model: nn.Module, batch: Mapping[str, Any], pixels: Tensor, labels: Tensor, carried: MixPlan | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_cls and L_sim of every head, all members seeing the same image: their mean over heads, weighed and by name."""
        if self._inside_stage and getattr(self.model, "gradient_checkpointing", False):
            raise UserError(
                "w_cls and w_sim with members need two passes, and gradient checkpointing would run the first stage of"
                " this network again with one plan for both: leave gradient_checkpointing out, or these weights at 0."
            )
        if self.forward is not None:
            self.forward.release()
        clean = batch["pixel_values"]
        rows = clean if carried is None else torch.cat([clean, pixels])
        outputs: Any = model(**{**batch, "pixel_values": rows})
        several = outputs.get("member_logits") if isinstance(outputs, Mapping) else None
        several = logits_of(outputs).unsqueeze(1) if several is None else several
        totals, terms = [], []
        for head in several.unbind(1):
            own, other = head[: len(clean)], None if carried is None else head[len(clean) :]
            if other is None:
                out = self.loss.of({"mix": 0.0, "cls": 1.0, "sim": 0.0}, model, own, labels)(own, None, labels, None)
                totals.append(self._extra["cls"] * out.per_example)
            else:
                out = self.loss.of(self._extra, model, own, labels)(own, other, labels, carried)
                totals.append(out.per_example)
            terms.append(out.terms)
        return torch.stack(totals).mean(0), {
            name: torch.stack([one[name] for one in terms]).mean(0) for name in terms[0]
        }


def _alone(rows: int, like: Tensor) -> MemberPlan:
    """The plan of a network of one member: each row sees itself."""
    ones = torch.ones(rows, 1, device=like.device)
    own = torch.arange(rows, device=like.device)[:, None]
    return MemberPlan(own, ones, ones[:, :, None, None], ones)
