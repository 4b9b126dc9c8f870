"""``MixTrainer``, the one-class swap for ``transformers.Trainer``, and what it stands on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.arguments import MixArguments
    from logitmix_hf.trainer.mix_trainer import MixTrainer, TrainingDiverged

__all__ = ["MixArguments", "MixTrainer", "TrainingDiverged"]


def __getattr__(name: str) -> Any:
    if name not in __all__:  # resolved on first use: settings need a small part of this folder, and no trainer
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.mix_trainer"), name)
