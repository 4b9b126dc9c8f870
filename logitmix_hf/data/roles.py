"""Which splits of a data set are for what, by their names, and what each judged one is called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


def find_judged(name: str, found: Collection[str], needs: Needs) -> dict[str, str]:
    """The splits to judge on, by the names of their predictions files: of a single one "validation", but for the test split.

    Raises:
        UserError: as :func:`judged_splits`, and where train or test is needed and not there.
    """
    for split, needed, what in (("train", needs.train, ""), ("test", needs.test, " for --do_predict")):
        if needed and split not in found:
            raise UserError(f"{name} has no split {split!r}{what}; it has {listed(list(found))}.")
    usable = [split for split in found if not (needs.train and split == "train")]
    return by_file(judged_splits(name, usable) if needs.judged else validation_splits(found))


def by_file(judged: Sequence[str]) -> dict[str, str]:
    """Judged splits by the names of their predictions files."""
    return {"validation": judged[0]} if len(judged) == 1 and judged[0] != "test" else {one: one for one in judged}


HELD_OUT = "held out of train"
"""The source of a validation split that the data did not bring along."""


@dataclass(frozen=True)
class JudgedSplit:
    """A split whose rows are judged.

    name: of its predictions file. prefix: what the keys of its scores begin with. source: what its rows are called where
    they come from, a file or a split of the data set; or :data:`HELD_OUT`. test: whether it is judged once, at the end,
    and can choose nothing.
    """

    name: str
    prefix: str
    source: str
    test: bool = False


def name_judged(sources: Mapping[str, str], prefixes: Mapping[str, str] | None = None) -> tuple[JudgedSplit, ...]:
    """The validation splits in their order: the first has the prefix ``eval``, as ``Trainer`` calls a single one, any
    other ``eval_NAME``, as ``Trainer`` calls those of several.

    Args:
        sources: name of the predictions file to :attr:`JudgedSplit.source`.
        prefixes: those that are called otherwise by custom (MNLI's ``eval_mm``), by name.
    """
    known = prefixes or {}
    return tuple(
        JudgedSplit(name, known.get(name, f"eval_{name}" if number else "eval"), source)
        for number, (name, source) in enumerate(sources.items())
    )


def split_note(names: Iterable[str]) -> str:
    """Which splits rows are judged on, in words; empty for none."""
    told = list(names)
    return f"the split{'s' if len(told) > 1 else ''} {', '.join(told)}" if told else ""


def name_tested(sources: Mapping[str, str]) -> tuple[JudgedSplit, ...]:
    """The test splits that have labels: the first has the prefix ``test``, as ``Trainer`` calls it, any other its name."""
    return tuple(
        JudgedSplit(
            name, "test" if not number else name if name.startswith("test_") else f"test_{name}", source, test=True
        )
        for number, (name, source) in enumerate(sources.items())
    )
