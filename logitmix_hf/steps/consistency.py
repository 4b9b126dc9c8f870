"""Steps of clean rows seen several times: VWCI's passes with dropout, and AugMix's views of an image, which must be answered
alike (Hendrycks et al., 2020, arXiv:1912.02781)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.losses import SINGLE
from logitmix_hf.models.unwrap import has_rows, logits_of, unwrap
from logitmix_hf.steps.step import MixStep, StepResult, Where
from logitmix_hf.steps.task_loss import TaskLoss
from logitmix_hf.targets import settle_problem


def jensen_shannon(views: Tensor) -> Tensor:
    """(V, B, C) logits of V views to (B,), nats: the mean over views of KL(p_v || mean of all), that is the Jensen-Shannon
    divergence; 0 where all views are answered alike, at most log V.

    The mean is clamped to [1e-7, 1] before its logarithm, as AugMix's authors do.
    """
    logs = views.float().log_softmax(-1)
    middle = logs.exp().mean(0).clamp(1e-7, 1).log()
    return (logs.exp() * (logs - middle)).sum(-1).mean(0)


class ConsistencyStep(MixStep):
    """See :class:`logitmix_hf.steps.MixStep`. The batch holds V views of B rows each, plain ones first, in one pass; labels
    are those of B rows. The loss is the task loss of the plain rows and ``mix.jsd`` times their divergence. It has no hooks."""

    terms: tuple[str, ...] = ("cls", "jsd")

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any, loss: TaskLoss) -> None:
        if mix.mixes:
            raise UserError(
                f"jsd {mix.jsd:g} is a term of plain training, but method {mix.method!r} mixes: take vanilla."
            )
        self.model, self.loss, self._mix = model, loss, mix

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        rows, given = len(labels), len(batch["pixel_values"])
        if given % rows or given == rows:
            raise UserError(
                f"jsd {self._mix.jsd:g} needs views of every image in a batch, plain ones first: got {given} images for"
                f" {rows} labels. ImageCollator makes them with Augment(augmix='original', views=2)."
            )
        views = logits_of(model(**batch)).unflatten(0, (given // rows, rows))
        if settle_problem(getattr(unwrap(model), "config", None), views[0], labels) != SINGLE:
            raise UserError("jsd compares distributions over classes: it needs one label a row.")
        out = self.loss.of(self._mix.weights, model, views[0], labels)(views[0], None, labels, None)
        apart = jensen_shannon(views)
        return StepResult(out.per_example + self._mix.jsd * apart, {"cls": out.terms["cls"], "jsd": apart}, views[0])


class StochasticStep(MixStep):
    """See :class:`logitmix_hf.steps.MixStep`; ``mix.vwci`` passes go through the model as one batch. It has no hooks."""

    terms: tuple[str, ...] = ("cls",)

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any, loss: TaskLoss) -> None:
        self.model, self.loss, self._mix = model, loss, mix

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        rows, times = len(labels), self._mix.vwci
        several = {name: torch.cat([v] * times) if has_rows(v, rows) else v for name, v in batch.items()}
        passes = logits_of(model(**several)).unflatten(0, (times, rows))
        out = self.loss.of(self._mix.weights, model, passes[0], labels).of_passes(passes, labels)
        return StepResult(out.per_example, out.terms, passes[0])
