"""What a training step is: where it stands, what it gives, what whoever trains may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from logitmix_hf.plan import step_generator


@dataclass(frozen=True)
class Where:
    """Where a micro-batch stands: all that a draw or a schedule reads.

    Attributes:
        seed: the run's seed, at least 0.
        step: optimiser steps behind, from 0.
        micro_step: position within the accumulated batch.
        process: rank of the process.
        share_done: the share of training that is behind, in [0, 1]; schedules hang on it.
        epochs: of the whole training.
        milestones: shares of training at which the learning rate drops; ``mix_schedule`` grad begins anew there.
    """

    seed: int
    step: int
    micro_step: int = 0
    process: int = 0
    share_done: float = 0.0
    epochs: float = 1.0
    milestones: tuple[float, ...] = ()

    def generator(self, purpose: int = 0) -> torch.Generator:
        """The generator of this micro-batch, one for each purpose; see :func:`logitmix_hf.plan.step_generator`."""
        return step_generator(self.seed, self.step, self.micro_step, self.process, purpose)


class StepResult(NamedTuple):
    """What one micro-batch gives.

    per_example: (B,) the weighted loss of each row, with gradient. terms: its parts, unweighted, (B,) by name.
    logits: (B, C) of the clean rows, or what stands for them where none were run.
    """

    per_example: Tensor
    terms: dict[str, Tensor]
    logits: Tensor


class MixStep(Protocol):
    """One way of training a model on a micro-batch; made by :func:`logitmix_hf.steps.build_step`.

    Attributes:
        model: the model it was made for, not wrapped.
        terms: the names of everything that :class:`StepResult` may tell in its ``terms``.
    """

    model: nn.Module
    terms: tuple[str, ...]

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        """One micro-batch.

        Args:
            model: the wrapped model to call (DDP, compiled), or the model itself.
            batch: the model's inputs without labels, B rows.
            labels: (B,) int classes, (B, C) float, or (B,) / (B, 1) float values.
            where: see :class:`Where`.
        """
        ...

    def release(self) -> None:
        """Let the hooks sleep: called once backward is through, since checkpointing runs layers again there."""

    def remove(self) -> None:
        """Leave the model as it was, without hooks."""
