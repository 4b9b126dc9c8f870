"""Where the loss of an image looks: the gradient at its pixels, from a pass that is needed anyway or from a look aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.losses import distance
from logitmix_hf.models.unwrap import has_rows, logits_of, unwrap
from logitmix_hf.targets import problem_of, targets_of

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
    with torch.enable_grad(), _buffers_kept() if keep else nullcontext():
        pixels = pixels.detach().requires_grad_()
        logits = run_pixels(model, batch, pixels)
        problem = problem_of(getattr(unwrap(model), "config", None), logits, labels)
        targets = targets_of(labels, logits.float(), problem).float()
        loss = distance(logits.float(), targets, problem).sum() * SCALE
        (gradient,) = torch.autograd.grad(loss, pixels, retain_graph=keep)
    return logits if keep else logits.detach(), _finite_rows(gradient)


def saliency_of(gradient: Tensor) -> Tensor:
    """(B, H, W) float32: the root mean square over channels of a gradient (B, C, H, W), each row in units of its largest.

    A row that is not finite (a diverging network, an overflow of half precision) has no saliency, that is 0.
    """
    rows = _finite_rows(gradient).float()
    largest = rows.abs().amax((1, 2, 3), keepdim=True)  # or the square of a large one would overflow
    return (rows / torch.where(largest > 0, largest, 1)).square().mean(1).sqrt()


def _finite_rows(gradient: Tensor) -> Tensor:
    """Rows that hold a NaN or an infinity as 0: the loss tells of them (``TrainingDiverged``), no mixer has to."""
    good = gradient.isfinite().flatten(1).all(1)
    return torch.where(good.reshape(-1, 1, 1, 1), gradient, 0)


def _buffers_kept() -> AbstractContextManager[Any]:
    """Within: a compiled backward pass does not give its buffers away, so that it can be run twice."""
    try:
        from torch._functorch import config
    except ImportError:  # not public: without it there is nothing to switch off
        return nullcontext()
    return config.patch(donated_buffer=False) if hasattr(config, "donated_buffer") else nullcontext()


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
