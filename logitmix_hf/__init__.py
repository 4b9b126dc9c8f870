"""Fine-tune Hugging Face classifiers that are right and honest about how sure they are."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.arguments import MixArguments
    from logitmix_hf.errors import UserError
    from logitmix_hf.losses import LogitMixLoss
    from logitmix_hf.methods import METHODS
    from logitmix_hf.plan import MixPlan, blend, draw_plan
    from logitmix_hf.steps import Where, build_step
    from logitmix_hf.text.forward import MixedForward
    from logitmix_hf.trainer import MixTrainer, TrainingDiverged

__version__ = "0.1.0"
__all__ = [
    "METHODS",
    "LogitMixLoss",
    "MixArguments",
    "MixPlan",
    "MixTrainer",
    "MixedForward",
    "TrainingDiverged",
    "UserError",
    "Where",
    "blend",
    "build_step",
    "draw_plan",
]

# Resolved on first use: `logitmix --help` must not wait for torch and transformers.
_HOMES = {
    "METHODS": "methods",
    "LogitMixLoss": "losses",
    "MixArguments": "arguments",
    "MixPlan": "plan",
    "MixTrainer": "trainer",
    "MixedForward": "text.forward",
    "TrainingDiverged": "trainer",
    "UserError": "errors",
    "Where": "steps",
    "blend": "plan",
    "build_step": "steps",
    "draw_plan": "plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
