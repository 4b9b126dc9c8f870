"""``MixTrainer``, the one-class swap for ``transformers.Trainer``, and what it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.lazy import lazy_names

if TYPE_CHECKING:
    from logitmix_hf.trainer.mix_trainer import MixTrainer, TrainingDiverged
else:
    __getattr__, __dir__ = lazy_names(__name__, {"mix_trainer": ["MixTrainer", "TrainingDiverged"]})

__all__ = ["MixArguments", "MixTrainer", "TrainingDiverged"]
