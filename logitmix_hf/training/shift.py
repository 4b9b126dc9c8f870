"""Data beside the own that the finished model is judged on as well, by its flag and name: ``--shift NAME=PLACE``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from logitmix_hf.data.match_labels import Match, match_labels
from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError

PREFIX = "shift_"
"""What the keys of their scores and the names of their predictions begin with."""

DataT = TypeVar("DataT", bound=TaskData)


def read_shifts(words: Sequence[str] | None) -> dict[str, str]:
    """What ``--shift`` names: see :func:`read_places`."""
    return read_places("shift", words, "its labelled data is, as --shift other_shop=reviews.csv")


def read_places(flag: str, words: Sequence[str] | None, where: str) -> dict[str, str]:
    """Place by name.

    Args:
        where: what a place is, and an example, for the message.

    Raises:
        UserError: for a word without a name or a place, a name that is too long for a file's, and one given twice, be it in
            other letters, which not every file system tells apart.
    """
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, place = word.partition("=")
        if not equals or not place or not re.fullmatch(r"[A-Za-z0-9][\w-]{0,99}", name):
            raise UserError(
                f"--{flag} {word!r} is no NAME=PLACE: give a name of at most 100 letters, digits and _ and where {where}."
            )
        if other := next((one for one in found if one.lower() == name.lower()), None):
            raise UserError(f"--{flag} names {name!r} twice ({found[other]} and {place}): give each a name of its own.")
        found[name] = place
    return found


def split_name(name: str, found: TaskData, judged: JudgedSplit) -> str:
    """What a judged split of other data is called here: by the shift, and where there are several by itself too."""
    return f"{PREFIX}{name}" if len(found.judged) == 1 else f"{PREFIX}{name}_{judged.name}"


def with_shift(data: DataT, name: str, place: str, splits: Mapping[str, object]) -> DataT:
    """The data with more splits, by the names of :func:`split_name`, that are judged at the end and choose nothing.

    Raises:
        UserError: another split is called so already.
    """
    check_new(splits, data, f"--shift {name}={place}")
    judged = [JudgedSplit(key, key, f"{Path(place).name} ({key.removeprefix(PREFIX)})", test=True) for key in splits]
    return replace(data, test={**data.test, **splits}, tested=(*data.tested, *judged))


def with_unlabelled(data: DataT, flag: str, splits: Mapping[str, object]) -> tuple[DataT, str]:
    """The data with the splits, by the names of :func:`unlabelled_names`, of a shift without labels, which are predicted at the
    end and not scored; and a line of it.

    Raises:
        UserError: another split is called so already.
    """
    check_new(splits, data, flag)
    files = ", ".join(f"predictions/{key}.parquet" for key in splits)
    told = f"{flag}: it has no labels, so its rows are predicted ({files}) and not scored."
    return replace(data, test={**data.test, **splits}), told


def unlabelled_names(name: str, splits: Mapping[str, Any]) -> dict[str, Any]:
    """Splits of a shift by what they are called here, as :func:`split_name` does where there are labels."""
    return {PREFIX + (name if len(splits) == 1 else f"{name}_{key}"): split for key, split in splits.items()}


def check_new(names: Iterable[str], data: TaskData, flag: str) -> None:
    """Require that no split of the data is called by one of these names.

    Raises:
        UserError: naming it.
    """
    if taken := [name for name in names if name in data.splits]:
        raise UserError(
            f"{flag} has a split that would be called {taken[0]!r}, as one that is there: give another name."
        )


@contextmanager
def of_flag(flag: str) -> Iterator[None]:
    """Mistakes in what a flag names begin with the flag: a run may name many places."""
    try:
        yield
    except UserError as mistake:
        told = str(mistake)
        raise UserError(told if flag in told else f"{flag}: {told}") from mistake


def matched(name: str, place: str, data: TaskData, found: TaskData) -> Match:
    """Which classes of the data the labels of other data are.

    Raises:
        UserError: naming the shift, for labels that the data does not have.
    """
    with of_flag(f"--shift {name}={place}"):
        return match_labels(data.label_names, found.label_names)
