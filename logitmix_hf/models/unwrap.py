"""Meeting a Hugging Face model from outside: unwrap it, read its logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from logitmix_hf.errors import UserError


def unwrap(model: nn.Module) -> nn.Module:
    """The HF model inside DDP, DeepSpeed's engine, FSDP's wrapper, a compiled module or a PEFT model.

    Raises:
        UserError: for ``nn.DataParallel``, which would split the batch under a plan that speaks of all of it.
    """
    while True:
        if isinstance(model, nn.DataParallel):
            raise UserError(
                "nn.DataParallel splits the batch that a plan indexes as a whole: start one process per GPU with"
                " `accelerate launch` (or set CUDA_VISIBLE_DEVICES to one GPU)."
            )
        # DeepSpeed's engine and the wrapper of the first FSDP are told by name: neither is imported here.
        names = {kind.__name__ for kind in type(model).__mro__}
        if names & {"DistributedDataParallel", "DeepSpeedEngine", "FullyShardedDataParallel"}:
            model = model.module  # type: ignore[assignment]
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()  # type: ignore[operator]
        else:
            return model


def logits_of(outputs: Any) -> Tensor:
    """The logits (B, C) in what a classifier returns: a dictionary, a tuple without loss, or the tensor alone.

    Logits (B,), or of one row none at all, are one output.

    Raises:
        UserError: where there are none, or several answers a row.
    """
    if isinstance(outputs, Mapping):
        if outputs.get("logits") is None:
            raise UserError(
                f"the model gives {', '.join(outputs) or 'nothing'}, but no 'logits': load a classifier"
                f" (AutoModelForSequenceClassification, AutoModelForImageClassification). {_OWN}"
            )
        logits = outputs["logits"]
    else:
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
    if logits.ndim < 2:
        return logits.reshape(-1, 1)
    if logits.ndim > 2:
        raise UserError(
            f"the model gives logits of shape {tuple(logits.shape)}, several answers a row, as models of tokens or of language"
            f" do; rows are mixed and judged by one answer each, (rows, classes). {_OWN}"
        )
    return logits


_OWN = "A model that has a loss of its own is trained by it with MixArguments(method='vanilla')."


def has_rows(value: Any, rows: int) -> bool:
    """Whether ``value`` is a tensor with one entry a row of the batch."""
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == rows


def check_checkpointing(model: nn.Module) -> None:
    """Require the model to offer gradient checkpointing.

    Raises:
        UserError: when it does not.
    """
    base = unwrap(model)
    if not getattr(base, "supports_gradient_checkpointing", False):
        raise UserError(
            f"gradient_checkpointing was asked for, but {type(base).__name__} does not offer it: leave it out, and lower"
            " per_device_train_batch_size where memory is short."
        )
