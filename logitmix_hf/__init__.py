"""Fine-tune Hugging Face classifiers that are right and honest about how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.lazy import lazy_names
from logitmix_hf.version import __version__ as __version__

if TYPE_CHECKING:
    from logitmix_hf.arguments import MixArguments
    from logitmix_hf.errors import UserError
    from logitmix_hf.estimators.image import ImageClassifier
    from logitmix_hf.estimators.run import Run, fine_tune
    from logitmix_hf.estimators.text import TextClassifier
    from logitmix_hf.losses import LogitMixLoss
    from logitmix_hf.methods import METHODS
    from logitmix_hf.plan import MixPlan, blend, draw_plan
    from logitmix_hf.steps import Where, build_step
    from logitmix_hf.text.forward import MixedForward
    from logitmix_hf.trainer import MixTrainer, TrainingDiverged
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "arguments": ["MixArguments"],
            "errors": ["UserError"],
            "estimators.image": ["ImageClassifier"],
            "estimators.run": ["Run", "fine_tune"],
            "estimators.text": ["TextClassifier"],
            "losses": ["LogitMixLoss"],
            "methods": ["METHODS"],
            "plan": ["MixPlan", "blend", "draw_plan"],
            "steps": ["Where", "build_step"],
            "text.forward": ["MixedForward"],
            "trainer": ["MixTrainer", "TrainingDiverged"],
        },
    )

__all__ = [
    "METHODS",
    "ImageClassifier",
    "LogitMixLoss",
    "MixArguments",
    "MixPlan",
    "MixTrainer",
    "MixedForward",
    "Run",
    "TextClassifier",
    "TrainingDiverged",
    "UserError",
    "Where",
    "blend",
    "build_step",
    "draw_plan",
    "fine_tune",
]
