"""Arguments with other values than were asked for: always a copy."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from transformers import TrainingArguments

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
