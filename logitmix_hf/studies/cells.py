"""The runs that a study file names: flags and labels of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from logitmix_hf.errors import UserError, nearest
from logitmix_hf.flag_words import flag_words, texts
from logitmix_hf.studies.file import Flags, StudyFile

Label = str | int | float


@dataclass(frozen=True)
class Asked:
    """One run as the file asks for it: its flags, what tells it apart, and its words."""

    flags: Flags
    labels: dict[str, Label]

    @property
    def words(self) -> list[str]:
        """The command line after ``logitmix glue``, without ``--output_dir``."""
        return flag_words(self.flags)

    @property
    def name(self) -> str:
        """For messages."""
        return " ".join(f"{axis}={value}" for axis, value in self.labels.items())


def asked_runs(file: StudyFile) -> list[Asked]:
    """Every run of the file, in its order: the grid, then each case.

    Raises:
        UserError: an ``exclude`` or ``override`` that no run matches, or nothing is left.
    """
    points = list(_points(file))
    known = {name for flags, _ in points for name in flags} | {"case"}
    for what, whens in (("exclude", file.exclude), ("override", [when for when, _ in file.override])):
        for when in whens:
            for name in when:
                if name not in known:
                    raise UserError(
                        f"{file.source}: {what}: no run has {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}."
                    )
            if not any(_matches(when, flags, labels) for flags, labels in points):
                raise UserError(f"{file.source}: {what}: no run matches {when}.")
    runs = []
    for flags, labels in points:
        if any(_matches(when, flags, labels) for when in file.exclude):
            continue
        changed = dict(flags)
        for when, new in file.override:
            if _matches(when, flags, labels):
                changed |= new
        runs.append(Asked(changed, labels))
    if not runs:
        raise UserError(f"{file.source}: exclude: leaves no run.")
    return runs


def _points(file: StudyFile) -> Iterator[tuple[Flags, dict[str, Label]]]:
    if file.grid or not file.cases:
        for values in product(*file.grid.values()):
            axes = dict(zip(file.grid, values, strict=True))
            yield {**file.fixed, **axes}, {name: label(value) for name, value in axes.items()}
    for case, own in file.cases.items():
        # The axes of the grid that the case leaves open, all but the method where the case names one.
        rest = {name: values for name, values in file.grid.items() if name not in own}
        for values in product(*rest.values()):
            axes = dict(zip(rest, values, strict=True))
            labels = {name: label(value) for name, value in axes.items()}
            method = f"{labels['method']}-{case}" if "method" in labels else case
            yield {**file.fixed, **axes, **own}, {**labels, "method": method, "case": case}


def _matches(when: Flags, flags: Flags, labels: dict[str, Label]) -> bool:
    for name, wanted in when.items():
        value = labels.get("case") if name == "case" else flags.get(name)
        choices = wanted if isinstance(wanted, list) else [wanted]
        if not any(_same(value, choice) for choice in choices):
            return False
    return True


def _same(value: Any, other: Any) -> bool:
    return value is other if None in (value, other) else texts(value) == texts(other)


def label(value: Any) -> Label:
    """A value as the name of a row or column."""
    if isinstance(value, (bool, list)):
        return "+".join(texts(value))
    return "none" if value is None else value
