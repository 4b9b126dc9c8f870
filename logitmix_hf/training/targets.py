"""The scale that a regression is trained on: decided, told, and given back to the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from logitmix_hf.errors import say
from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.models.target_scale import TargetScale, why_not
from logitmix_hf.process import is_main_process
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded

_FAR = 3.0
"""Deviations between 0 and the mean, or a factor between deviation and 1, above which raw targets hardly train."""


def target_scale(job: Job, loaded: Loaded) -> TargetScale | None:
    """The scale of the training targets of a regression that is to be trained; said in one line. None for anything else,
    and where the head cannot take it in: then the targets stay as they are, and it is said where that will not do."""
    if loaded.data.problem != REGRESSION or not job.training.do_train or "train" not in loaded.splits:
        return None
    scale = TargetScale.of(np.asarray(loaded.splits["train"]["labels"]))
    reason = why_not(loaded.model)
    about = f"mean {scale.mean:.6g}, deviation {scale.deviation:.6g}"
    far = abs(scale.mean) > _FAR * max(scale.deviation, 1.0) or not 1 / _FAR < scale.deviation < _FAR
    line = f"targets are standardised for training ({about}); the saved model answers in the data's own unit."
    if reason:
        line = (
            f"targets are trained on as they are ({about}), because {reason}: a head that begins near 0 hardly reaches"
            " them. Scale them in the data, or take a model whose last layer is a linear one with a bias."
        )
    if is_main_process() and (far or not reason):
        say(line)
    return None if reason else scale


def in_own_unit(p: Predictions, scale: TargetScale | None) -> Predictions:
    """What was predicted and meant while training, in the data's unit."""
    if scale is None:
        return p
    labels: Any = None if p.labels is None else scale.restore(p.labels)
    members = None if p.members is None else scale.restore(p.members)
    return replace(p, logits=scale.restore(p.logits), labels=labels, members=members)
