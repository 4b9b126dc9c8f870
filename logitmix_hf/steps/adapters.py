"""The step of several LoRA adapters over one network, trained beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.ensembles import LogitmixAdaptersForSequenceClassification
from logitmix_hf.ensembles.lora import seeded
from logitmix_hf.errors import UserError
from logitmix_hf.steps.step import MixStep, StepResult, Where

DROPOUT = 4
"""Purpose of the generator that dropout of a member is seeded from; see :mod:`logitmix_hf.steps.members` for the others."""


class AdapterStep:
    """See :class:`logitmix_hf.steps.MixStep`; every member goes its own way through the same rows.

    Member k draws what a run with the seed s + k draws, its dropout too, and the loss of a row is the sum of the members':
    no member feels another, and each becomes what it would alone.

    Args:
        model: that holds the adapters.
        inner: the method's step for the network that they are in.

    Raises:
        UserError: for several members with gradient checkpointing, which runs layers again when another member is in use.
    """

    def __init__(self, model: LogitmixAdaptersForSequenceClassification, inner: MixStep) -> None:
        self.model: nn.Module = model
        self._adapters, self._inner = model, inner
        self.terms = inner.terms
        if model.count > 1 and any(getattr(one, "gradient_checkpointing", False) for one in model.classifier.modules()):
            raise UserError(NO_CHECKPOINTING.format(model.count))

    def run(self, model: nn.Module, batch: Mapping[str, Any], labels: Tensor, where: Where) -> StepResult:
        results = []
        for number in range(self._adapters.count):
            own = replace(where, seed=where.seed + number)
            with self._adapters.answering(number), seeded(own.generator(DROPOUT).initial_seed(), labels.device):
                results.append(self._inner.run(model, batch, labels, own))
        if len(results) == 1:
            return results[0]
        return StepResult(
            torch.stack([one.per_example for one in results]).sum(0),
            {
                name: torch.stack([one.terms[name] for one in results if name in one.terms]).mean(0)
                for name in dict.fromkeys(name for one in results for name in one.terms)
            },
            torch.stack([one.logits.detach() for one in results]).mean(0),
        )

    def release(self) -> None:
        self._inner.release()

    def remove(self) -> None:
        self._inner.remove()


NO_CHECKPOINTING = (
    "gradient_checkpointing runs the layers of {0} members again in backward, where only the last one is in use: leave it"
    " out, and lower per_device_train_batch_size where memory is short."
)
