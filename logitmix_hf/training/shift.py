"""Data of another origin that the finished model is judged on as well: ``--shift NAME=PLACE``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError

PREFIX = "shift_"
"""What the keys of their scores and the names of their predictions begin with."""

DataT = TypeVar("DataT", bound=TaskData)


def read_shifts(words: Sequence[str] | None) -> dict[str, str]:
    """Place by name.

    Raises:
        UserError: for a word without a name or a place, and for a name given twice.
    """
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, place = word.partition("=")
        if not equals or not place or not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
            raise UserError(
                f"--shift {word!r} is no NAME=PLACE: give a name of letters, digits and _ and where its labelled data is, as"
                " --shift other_shop=reviews.csv."
            )
        if name in found:
            raise UserError(f"--shift names {name!r} twice ({found[name]} and {place}): give each a name of its own.")
        found[name] = place
    return found


def with_shift(data: DataT, name: str, place: str, split: object) -> DataT:
    """The data with one more split that is judged at the end, by which nothing is chosen."""
    judged = JudgedSplit(f"{PREFIX}{name}", f"{PREFIX}{name}", f"{Path(place).name} (shift {name})", test=True)
    return replace(data, test={**data.test, judged.name: split}, tested=(*data.tested, judged))
