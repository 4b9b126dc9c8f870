"""The step of every method that mixes, and of vanilla: draw a plan, run clean and mixed rows, weigh the terms.

A training step, from the batch to the gradient: ``MixTrainer.compute_loss`` (or anybody's own loop) says where training
stands (:class:`Where`) and calls :meth:`MixedStep.run`, which chooses what is mixed now by the schedule (``schedule``),
draws a plan, lets one pass run clean and mixed rows (``passes``, by ``text.forward`` or ``vision.forward``), and weighs the
terms of the loss (``task_loss``, ``losses``); the caller takes the mean over the accumulated batch, goes backward, and calls
:meth:`MixedStep.release`. :func:`build_step` makes the step that a method names: this one, or the others of this folder.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.models.compiled import Shapes
from logitmix_hf.models.unwrap import logits_of
from logitmix_hf.plan import MixPlan, draw_plan, with_views
from logitmix_hf.steps.passes import Passes, modality_of, passes_for
from logitmix_hf.steps.schedule import mix_at
from logitmix_hf.steps.step import StepResult, Where
from logitmix_hf.steps.task_loss import TaskLoss


class MixedStep:
    """See :class:`logitmix_hf.steps.MixStep`.

    ``mixes`` holds by mixer what is in force with it, and ``passes`` the pass that runs clean and mixed rows; its hooks
    enter the model when it is first asked for.
    """

    terms: tuple[str, ...] = ("mix", "cls", "sim", "agree", "lam")

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any, loss: TaskLoss) -> None:
        self.model, self.loss = model, loss
        self._mix, self._processor = mix, processor
        self.modality = modality_of(model, required=mix.mixes)
        chances = mix.mixers(self.modality)
        self.mixes = {name: mix.filled(self.modality, name) for name in chances}
        self._bounds = list(itertools.accumulate(chances.values()))
        self._passes: Passes | None = None
        self._plain_shapes = Shapes()

    @property
    def passes(self) -> Passes:
        if self._passes is None:
            self._passes = passes_for(self.model, self._mix, self._processor, self.modality)
        return self._passes

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        generator = where.generator()
        mix = self.choose(where)
        plan = None if mix is None else self.draw(len(labels), mix, generator)
        if mix is None or plan is None:
            clean = logits_of(self._plain_shapes.call(model, batch))
            out = self.loss.of(self._mix.weights, model, clean, labels)(clean, None, labels, None)
            return StepResult(out.per_example, out.terms, clean)
        plan = plan.to(labels.device)  # once: pass, loss and log all read it there
        if mix.row.two_views and mix.weights["agree"] and not mix.atom:
            plan = with_views(plan)
        clean, mixed, plan = self.passes.step(batch, plan, generator, model, labels, mix)
        logits = mixed if clean is None else clean
        out = self.loss.of(mix.weights, model, logits, labels)(clean, mixed, labels, plan)
        return StepResult(out.per_example, {**out.terms, "lam": plan.lam[-len(labels) :].to(logits.device)}, logits)

    def choose(self, where: Where) -> MixArguments | None:
        """What this micro-batch mixes, filled for the mixer that is drawn; None for a plain step by the schedule."""
        # A stream of its own: how many mixers there are must not shift what is drawn for lam.
        draw, uniform = torch.rand(2, generator=where.generator(purpose=1)).tolist()
        number = min(bisect.bisect_right(self._bounds, draw), len(self._bounds) - 1)  # their sum may be just below 1
        return mix_at(list(self.mixes.values())[number], where, uniform)

    def draw(self, rows: int, mix: MixArguments, generator: torch.Generator) -> MixPlan | None:
        """The plan of this micro-batch, or None for a plain step by chance (``mix_prob``)."""
        probability = 1.0 if mix.mix_prob is None else mix.mix_prob
        if not float(torch.rand((), generator=generator)) < probability:
            return None
        assert mix.alpha is not None
        return draw_plan(rows, mix.alpha, generator, per=mix.lam_per or "batch", lam=mix.lam, atom=mix.atom or 0.0)

    def release(self) -> None:
        if self._passes is not None:
            self._passes.release()

    def remove(self) -> None:
        if self._passes is not None:
            self._passes.remove()
            self._passes = None
