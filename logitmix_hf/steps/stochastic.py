"""VWCI's step: several passes of the same rows with dropout (Seo, Seo and Han, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.models.unwrap import has_rows, logits_of
from logitmix_hf.steps.step import StepResult, Where
from logitmix_hf.steps.task_loss import TaskLoss


class StochasticStep:
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

    def release(self) -> None:
        """Nothing is held."""

    def remove(self) -> None:
        """Nothing stays in the model."""
