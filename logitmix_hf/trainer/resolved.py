"""Arguments with other values than were asked for: always a copy. And what follows from other arguments."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType

from logitmix_hf.evaluation.directions import better

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def resolved(asked: Arguments, **values: Any) -> Arguments:
    """A copy with other values; what was asked stays as it is. The one place that sets arguments of a training.

    Not ``dataclasses.replace``: these arguments look for devices and join process groups when they are made.
    """
    made = copy.copy(asked)
    for name, value in values.items():
        if not hasattr(made, name):
            raise AttributeError(f"{type(made).__name__} has no argument {name!r}")
        setattr(made, name, value)
    return made


def by_score(args: TrainingArguments) -> dict[str, Any]:
    """Arguments that follow from ``metric_for_best_model`` and are not what they should be, by name.

    ``TrainingArguments`` calls every score that does not end in "loss" better when greater, and a plateau of the
    learning rate is always one of a score that should fall.
    """
    name, found = args.metric_for_best_model, dict[str, Any]()
    if name is None:
        return found
    greater = args.greater_is_better and better(name) != -1
    if greater != args.greater_is_better:
        found["greater_is_better"] = greater
    options = args.lr_scheduler_kwargs or {}
    if greater and args.lr_scheduler_type in _WAITING and "mode" not in options:
        found["lr_scheduler_kwargs"] = {"mode": "max", **options}  # type: ignore[dict-item]
    return found


_WAITING = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
