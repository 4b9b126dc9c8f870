"""One training step: the only door from the trainer, or anybody's own loop, to text and images."""

from logitmix_hf.steps.build import STEPS, build_step
from logitmix_hf.steps.step import MixStep, StepResult, Where

__all__ = ["STEPS", "MixStep", "StepResult", "Where", "build_step"]
