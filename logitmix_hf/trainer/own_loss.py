"""The loss that a model computes itself: when a training takes it, and when it is told that it is not taken."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.models.unwrap import unwrap

# Heads whose loss is the task loss, as losses.py has it: those of transformers, and of this package.
_HEADS = ("ForSequenceClassification", "ForImageClassification")
_PACKAGES = ("transformers.", "logitmix_hf.")
# The networks of this package have names of their own.
_NETWORKS = "logitmix_hf."


def has_own_loss(model: nn.Module) -> bool:
    """Whether ``forward`` computes a loss that may be another than the task loss: a head of the user's own, one for
    tokens, or one whose ``loss_function`` was set. False for the classifiers of transformers and of this package, and for
    modules that take no labels."""
    base = unwrap(model)
    replaced = vars(base).get("forward")
    if replaced is not None and not hasattr(base, "_original_forward"):  # accelerate keeps the one that it wraps
        return _takes_labels(replaced)
    forward = type(base).forward
    if not _takes_labels(forward):
        return False
    owner = forward.__qualname__.partition(".")[0]
    known = forward.__module__.startswith(_PACKAGES) and (
        owner.endswith(_HEADS) or forward.__module__.startswith(_NETWORKS)
    )
    return not known or getattr(base, "_loss_function", None) is not None


def is_plain(mix: MixArguments) -> bool:
    """Whether nothing is mixed, and the loss neither weighed nor changed: what stock ``Trainer`` does, too."""
    return not mix.mixes and mix.row.step == "mixed" and mix.class_weights is None and not mix.confidence_penalty


def warn_of_own_loss(model: nn.Module, batch: Mapping[str, Any], labels: Tensor, task_loss: Any) -> None:
    """Say that the loss of ``forward`` is not the one that is trained on, where the first batch shows that they differ.

    Args:
        model: not wrapped; it is left as it was, also its random numbers.
        batch: inputs without labels.
        task_loss: (model, logits, labels) -> the plain task loss, scalar.
    """
    if not has_own_loss(model):
        return
    modes = {module: module.training for module in model.modules()}
    devices = [labels.device] if labels.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            outputs = model.eval()(**batch, labels=labels)
            if not isinstance(outputs, Mapping) or not {"loss", "logits"} <= outputs.keys():
                return
            own, ours = float(outputs["loss"]), float(task_loss(model, outputs["logits"], labels))
    except (TypeError, ValueError, RuntimeError, IndexError):
        return  # labels that its forward cannot read: there is no loss to compare
    finally:
        for module, training in modes.items():
            module.training = training
    if abs(own - ours) > 1e-3 * max(abs(own), abs(ours)):
        warnings.warn(
            f"{type(model).__name__} computes a loss of its own ({own:.4g} on the first batch), which is not taken: mixing"
            f" needs the losses of single rows, and trains on the task loss ({ours:.4g}). MixArguments(class_weights=…)"
            " weighs classes; method 'vanilla' takes the model's own loss, as Trainer does.",
            stacklevel=4,
        )


def _takes_labels(forward: Any) -> bool:
    """By name, as Trainer finds out what labels are called; ``**kwargs`` alone promise no loss."""
    names = inspect.signature(forward).parameters
    return any("label" in name or name in ("start_positions", "end_positions", "return_loss") for name in names)
