"""Which splits of a data set are for what, by their names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from logitmix_hf.errors import UserError, listed

VALIDATION_NAMES = ("validation", "valid", "dev", "val")
"""Splits that are taken for validation: the first that exists."""


@dataclass(frozen=True)
class Needs:
    """What is to be done with the splits.

    test: the test split is predicted. train: rows of train are needed. judged: nothing is trained, and some split must
    be there to judge on (:func:`judged_splits`).
    """

    test: bool = False
    train: bool = True
    judged: bool = False


def validation_splits(found: Collection[str]) -> list[str]:
    """The first of :data:`VALIDATION_NAMES`, else all that start with "validation_", else none. In a training a test
    split is never used in their place: then a share of train is held out."""
    first = [split for split in VALIDATION_NAMES if split in found][:1]
    return first or [split for split in found if split.startswith("validation_")]


def judged_splits(name: str, found: Collection[str]) -> list[str]:
    """The splits that judge a model which nobody trains: those of validation, else the test split, else the only split
    there is, which the Hub calls train whatever it is for.

    Raises:
        UserError: when there are several splits and none of these.
    """
    if splits := validation_splits(found):
        return splits
    if "test" in found:
        return ["test"]
    if len(found) == 1:
        return list(found)
    raise UserError(
        f"{name} has no split to judge a model on, such as validation or test; it has {listed(list(found))}: give rows"
        " that it was not trained on."
    )
