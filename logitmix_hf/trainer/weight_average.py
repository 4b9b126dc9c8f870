"""An exponential moving average of a model's weights, which takes their place when training ends."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from logitmix_hf.errors import UserError, check_number, printable
from logitmix_hf.models.unwrap import unwrap

AVERAGE = "average.pt"
"""Beside a checkpoint's weights: their average, and how many steps it holds."""


def check_not_the_best(args: Any) -> None:
    """Require that training ends with one set of weights.

    Raises:
        UserError: beside ``load_best_model_at_end``.
    """
    if args.load_best_model_at_end:
        raise UserError("--ema keeps the average of the last weights, --load_best_model_at_end other ones: take one.")


class WeightAverage(TrainerCallback):
    """An exponential moving average of weights and buffers, taken after every optimiser step.

    Early averages count the steps so far, so that the random start is soon forgotten: the decay of step n is at most
    (1 + n) / (10 + n), as TensorFlow's ``ExponentialMovingAverage`` has it. What is no floating number, as a table of
    positions or a count of batches, is the model's own.

    Args:
        decay: in [0, 1].

    Attributes:
        resume_from: the checkpoint that training goes on from.

    Raises:
        UserError: for a decay out of its range.
    """

    def __init__(self, decay: float) -> None:
        check_number("ema", decay, low=0, high=1)
        self.decay = decay
        self.resume_from: Path | None = None
        self._weights: dict[str, Tensor] = {}
        self._steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin anew, or go on with what a checkpoint kept."""
        self._weights, self._steps = {}, 0
        if not state.global_step or self.resume_from is None:
            return
        saved = self.resume_from / AVERAGE
        if saved.is_file():
            kept = torch.load(saved, map_location=args.device, weights_only=True)
            self._weights, self._steps = kept["weights"], kept["steps"]
        else:
            warnings.warn(
                f"{printable(str(self.resume_from))} holds no average of weights: it begins anew with these.",
                stacklevel=2,
            )

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take one step's weights in."""
        own = unwrap(kwargs["model"]).state_dict()
        decay = min(self.decay, (1 + self._steps) / (10 + self._steps)) if self._weights else 0.0
        self._steps += 1
        for name, value in own.items():
            if decay and value.is_floating_point():
                self._weights[name].lerp_(value, 1 - decay)
            else:
                self._weights[name] = value.clone()

    def save(self, path: Path) -> None:
        """Write what a resumed run needs."""
        torch.save({"weights": self._weights, "steps": self._steps}, path)

    def put_into(self, model: Any) -> None:
        """Replace the model's weights by the average."""
        if self._weights:
            unwrap(model).load_state_dict(self._weights)
