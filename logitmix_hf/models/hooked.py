"""What passes through an unmodified model by hooks have in common: when the hooks are awake, and how they leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class HookedForward(ABC):
    """Passes of its own through a model whose hooks, among them :meth:`_on_enter` at the model itself, sleep otherwise."""

    def __init__(self, base: nn.Module | None = None) -> None:
        self._running = False
        self._handles: list[Any] = [] if base is None else [base.register_forward_pre_hook(self._on_enter)]

    @contextmanager
    def _own_call(self) -> Iterator[None]:
        """Around a call of the model that is ours."""
        self._running = True
        try:
            yield
        finally:
            self._running = False

    def _on_enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        # Gradient checkpointing runs layers again during backward, never the whole model: a call of the model that
        # is not ours (an evaluation) ends the last pass.
        if not self._running:
            self.release()

    @abstractmethod
    def release(self) -> None:
        """Let the hooks sleep; they stay installed for the next call."""

    def remove(self) -> None:
        """Take the hooks out of the model for good."""
        self.release()
        for handle in self._handles:
            handle.remove()
