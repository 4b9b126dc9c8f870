"""``MixTrainer``, the one-class swap for ``transformers.Trainer``, and what it stands on."""

from logitmix_hf.trainer.mix_trainer import MixArguments, MixTrainer, TrainingDiverged

__all__ = ["MixArguments", "MixTrainer", "TrainingDiverged"]
