"""Make our networks known to the Auto classes of transformers, at no cost to who never asks for them.

Importing transformers and torch takes seconds, and ``logitmix --help`` must not wait for them: so where transformers is
not there yet, registration waits until its tables are imported. This module imports nothing for the same reason.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_CONFIGS = "transformers.models.auto.configuration_auto"
_MODELS = "transformers.models.auto.modeling_auto"


def register() -> None:
    """Register configuration and model now; again and again if you like."""
    _register_config()
    _register_model()


def register_when_needed() -> None:
    """Register now where transformers' tables are imported already, else as soon as they are."""
    waiting: dict[str, Callable[[], None]] = {}
    for name, action in ((_CONFIGS, _register_config), (_MODELS, _register_model)):
        if name in sys.modules:
            action()
        else:
            waiting[name] = action
    if waiting and not any(isinstance(finder, _Waiter) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiter(waiting))


def _register_config() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from logitmix_hf.vision.networks.config import ConvNetConfig

    AutoConfig.register(ConvNetConfig.model_type, ConvNetConfig, exist_ok=True)


def _register_model() -> None:
    from transformers.models.auto.modeling_auto import AutoModelForImageClassification

    from logitmix_hf.vision.networks.config import ConvNetConfig
    from logitmix_hf.vision.networks.model import ConvNetForImageClassification

    AutoModelForImageClassification.register(ConvNetConfig, ConvNetForImageClassification, exist_ok=True)


class _Waiter:  # a MetaPathFinder by its method: the base class would take longer to import than all of this
    """Lets the usual finders find a module, and runs an action after it was executed; then gets out of the way."""

    def __init__(self, waiting: dict[str, Callable[[], None]]) -> None:
        self.waiting = waiting

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        action = self.waiting.pop(fullname)
        if not self.waiting:
            sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            execute(module)
            action()

        loader.exec_module = execute_and_act
        return spec
