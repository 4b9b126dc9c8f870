"""Regressions: trained on standardised targets, answered in the data's own unit by the saved model itself.

A head starts near 0 and learns by steps of the learning rate, so that targets around 177,000 are out of its reach. Training
sees z = (y - mean) / deviation instead; afterwards the last linear layer takes the scale in, W * deviation and
b * deviation + mean, so that ``from_pretrained``, every ``pipeline`` and every export answer in the data's unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from logitmix_hf.models.heads import find_heads
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.precision import exact

RECORD = "logitmix_targets"
"""The entry of ``config.json``: ``mean``, ``deviation``, and whether the head has them ``inside``."""


@dataclass(frozen=True)
class TargetScale:
    """mean and deviation (above 0) of the training targets, in the data's unit."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, targets: Sequence[float] | np.ndarray) -> TargetScale:
        """From the targets that are trained on; the deviation of equal targets is taken as 1."""
        values = np.asarray(targets, dtype=np.float64)
        deviation = float(values.std())
        return cls(float(values.mean()), deviation if deviation > 0 else 1.0)

    def standardise(self, targets: Tensor) -> Tensor:
        """(…) targets as training sees them, float32. In double precision on the way: the mean may be large."""
        return ((exact(targets) - self.mean) / self.deviation).float()

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values as training sees them, in the data's unit, float64."""
        return np.asarray(values, dtype=np.float64) * self.deviation + self.mean

    def collator(self, collate: Callable[[list[Any]], Mapping[str, Any]]) -> Callable[[list[Any]], dict[str, Any]]:
        """``collate`` with standardised labels."""
        return _Standardising(self, collate)

    def record(self, *, inside: bool) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "inside": inside}

    def put_into(self, model: nn.Module) -> None:
        """Let a model that was trained on standardised targets answer in the data's unit."""
        self._change(model, self.deviation, self.mean)
        setattr(unwrap(model).config, RECORD, self.record(inside=True))

    def take_out(self, model: nn.Module) -> None:
        """The inverse: a model that answers in the data's unit then answers in standardised values."""
        self._change(model, 1 / self.deviation, -self.mean / self.deviation)

    def begin(self, model: nn.Module, *, answers: bool) -> None:
        """Before training: ``answers`` tells whether the head has learnt this or another scale already, or is new."""
        if answers:
            self.take_out(model)
        setattr(unwrap(model).config, RECORD, self.record(inside=False))

    @torch.no_grad()
    def _change(self, model: nn.Module, factor: float, offset: float) -> None:
        heads: Any = tuple(find_heads(model).values())
        for head in heads:
            for parameter, plus in ((head.weight, 0.0), (head.bias, offset)):
                parameter.copy_((exact(parameter) * factor + plus).to(parameter.dtype))  # rounded once


class _Standardising:  # a class, so that worker processes can be handed it
    def __init__(self, scale: TargetScale, collate: Callable[[list[Any]], Mapping[str, Any]]) -> None:
        self.scale, self.collate = scale, collate

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        batch = dict(self.collate(rows))
        if isinstance(batch.get("labels"), Tensor):
            batch["labels"] = self.scale.standardise(batch["labels"])
        return batch


def why_not(model: nn.Module) -> str:
    """Why a scale cannot be taken into the last layer, in words after a colon; "" where it can."""
    network: Any = unwrap(model)
    heads = tuple(find_heads(network).values())
    if not heads:
        return f"{type(network).__name__} has no last linear layer"
    for head in heads:
        if not isinstance(head, nn.Linear) or any(type(one) is not nn.Parameter for one in head.parameters()):
            return f"its last layer is {type(head).__name__}, no plain linear one"
        if head.bias is None:
            return "its last layer has no bias that could hold the mean"
    return ""
