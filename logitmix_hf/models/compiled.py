"""Calling a model that may be compiled with batches of many shapes: one graph for the first, one for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

GRAPHS = 64
"""Graphs that one model may have: a layer drawn each step gives two a layer, and eight is torch's own limit."""


class Shapes:
    """The shapes of the batches that one caller has given to a model.

    Left alone, a compiled model is traced for its first batch, for one with another number of rows, for one of another
    length, and for both; what hooks hold of a batch is traced anew for every shape there is. Here a second shape makes
    rows and lengths free at once.
    """

    def __init__(self) -> None:
        self._first: tuple[torch.Size, ...] | None = None
        self._vary = False

    def call(self, model: nn.Module, inputs: Mapping[str, Any], held: Iterable[Any] = ()) -> Any:
        """``model(**inputs)``.

        Args:
            held: what hooks bring into the pass: tensors whose sizes are those of the batch.
        """
        if not is_compiled(model):
            return model(**inputs)
        tensors = [value for value in (*inputs.values(), *held) if isinstance(value, Tensor)]
        shapes = tuple(tensor.shape for tensor in tensors)
        self._first = self._first or shapes
        self._vary = self._vary or shapes != self._first
        if self._vary:
            for tensor in tensors:
                torch._dynamo.maybe_mark_dynamic(tensor, list(range(tensor.ndim)))
        with _traced_freely():
            return model(**inputs)


def is_compiled(model: nn.Module) -> bool:
    """Whether ``torch.compile`` is around the model, or within what is (DDP)."""
    while isinstance(model, nn.Module):
        if hasattr(model, "_orig_mod") or model._compiled_call_impl is not None:
            return True
        model = getattr(model, "module", None)  # type: ignore[assignment]
    return False


def _traced_freely() -> AbstractContextManager[Any]:
    """Within: what is reached through a module's hooks may change its shape, and a model may have many graphs."""
    config = torch._dynamo.config
    wanted = {"force_nn_module_property_static_shapes": False, "recompile_limit": max(config.recompile_limit, GRAPHS)}
    known = {name: value for name, value in wanted.items() if hasattr(config, name)}
    return config.patch(**known) if known else nullcontext()
