"""Weights that several processes hold in parts (DeepSpeed's ZeRO, FSDP): made whole to be saved or changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from logitmix_hf.models.unwrap import unwrap


def whole_state(trainer: Any) -> dict[str, Tensor] | None:
    """The weights of a trained model by name, on the main process; called by every process, since all hold parts.

    None where each process holds the whole model, which then saves itself.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return None


def plain_copy(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A model of the same kind on the CPU that holds ``state``, and no part of any other process."""
    network: Any = unwrap(model)
    # FSDP puts a class of its own in the place of a model's.
    kind: Any = next(
        one for one in type(network).__mro__ if "FSDPModule" not in {base.__name__ for base in one.__mro__}
    )
    copied = kind(copy.deepcopy(network.config))
    copied.load_state_dict(state, assign=True)
    return copied.eval()


@contextmanager
def whole_weights(model: nn.Module) -> Iterator[None]:
    """Within: weights that ZeRO-3 has partitioned may be read and changed in place; entered by every process.

    The weights of FSDP are whole tensors to whoever reckons with them, and need nothing.
    """
    if not is_deepspeed_zero3_enabled():
        yield
        return
    import deepspeed  # type: ignore[import-not-found]

    with deepspeed.zero.GatheredParameters(list(unwrap(model).parameters()), modifier_rank=0):
        yield
