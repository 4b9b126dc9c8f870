"""Where the loss of an image looks: the gradient at its pixels, from a pass that is needed anyway or from a look aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from logitmix_hf.hooks import has_rows, logits_of, unwrap
from logitmix_hf.losses import SINGLE, distance, infer_problem, targets_of

SCALE = 1024.0
"""What the loss is multiplied by before its gradient is taken: half precision would lose small ones, and no mixer minds."""


def clean_with_gradient(
    model: nn.Module, batch: Mapping[str, Any], pixels: Tensor, labels: Tensor, *, keep: bool
) -> tuple[Tensor, Tensor]:
    """Logits (B, C) of clean rows and the gradient (B, C, H, W) of their task loss at the pixels.

    Args:
        model: as it is to be called, also wrapped. Its weights get no gradient here.
        pixels: (B, C, H, W) in place of the batch's.
        labels: (B,) or (B, C).
        keep: whether the logits are trained on, too: their graph stays.

    Works under ``no_grad`` too, where no graph stays.
    """
    keep = keep and torch.is_grad_enabled()
    # A compiled backward pass that gives its buffers away can be run once only.
    with torch.enable_grad(), functorch.patch(donated_buffer=not keep and functorch.donated_buffer):
        pixels = pixels.detach().requires_grad_()
        logits = run_pixels(model, batch, pixels)
        problem = getattr(getattr(unwrap(model), "config", None), "problem_type", None) or infer_problem(logits, labels)
        targets = targets_of(labels, logits.float(), problem).float()
        loss = distance(logits.float(), targets, problem).sum() * (SCALE if problem == SINGLE else 1.0)
        (gradient,) = torch.autograd.grad(loss, pixels, retain_graph=keep)
    return logits if keep else logits.detach(), gradient


def run_pixels(model: nn.Module, batch: Mapping[str, Any], pixels: Tensor) -> Tensor:
    """The logits of ``pixels``, a whole number of batches, with whatever else the batch holds a row of."""
    rows = len(batch["pixel_values"])
    times = len(pixels) // rows
    rest = {
        name: torch.cat([value] * times) if has_rows(value, rows) and times > 1 else value
        for name, value in batch.items()
        if name != "pixel_values"
    }
    return logits_of(model(pixel_values=pixels, **rest))


@contextmanager
def as_in_evaluation(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards as it was: a look at the images must not move BatchNorm."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
