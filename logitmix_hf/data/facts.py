"""Is the data sane? What is counted of every split before anything is trained: the content of ``data.json``."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import listed
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION

MOST_NAMED = 20
"""Classes of one row, and groups of labels that look alike, that are named; the rest are counted."""


@dataclass(frozen=True)
class SplitRows:
    """What is counted of one split.

    Attributes:
        count: rows.
        labels: (N,) or (N, C), as the problem has them; None where they are unknown.
        rows: what tells them apart, equal for two that say the same; None where that is not looked at.
        more: further counts, by name.
    """

    count: int
    labels: np.ndarray | None
    rows: Sequence[Hashable] | None = None
    more: Mapping[str, Any] | None = None


def data_facts(splits: Mapping[str, SplitRows], names: Sequence[str], problem: str, **more: Any) -> dict[str, Any]:
    """Everything that is counted, as JSON can hold it.

    Args:
        splits: by name, in their order; "train" among them where something is trained.
        names: of the classes.
        problem: the word of ``config.problem_type``.
        more: further facts of the whole.

    Returns:
        ``problem``; ``splits``: of each its ``rows``, ``classes`` with their counts or ``values`` (least, largest, mean),
        ``repeated`` (rows that say what an earlier one says), ``in_train`` (rows of another split that train has too: a
        leak), ``contradicting`` (rows whose like in the same split has another label); ``classes_of_one_row`` of train;
        ``labels_alike``, groups of names that differ by case, spaces or punctuation alone; and ``more``.
    """
    known = set(splits["train"].rows or ()) if "train" in splits else set()
    found = {key: _split_facts(rows, names, problem, known if key != "train" else None) for key, rows in splits.items()}
    classes = found["train" if "train" in found else next(iter(found))].get("classes", {})
    lonely = [str(name) for name, count in classes.items() if count == 1]
    return {
        "problem": problem,
        "splits": found,
        "classes_of_one_row": {"count": len(lonely), "first": lonely[:MOST_NAMED]},
        "labels_alike": alike(names)[:MOST_NAMED],
        **more,
    }


def _split_facts(split: SplitRows, names: Sequence[str], problem: str, known: set[Hashable] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": split.count}
    if split.labels is not None and split.count:
        if problem == REGRESSION:
            values = split.labels
            found["values"] = {
                "least": float(values.min()),
                "largest": float(values.max()),
                "mean": float(values.mean()),
            }
        else:
            found["classes"] = dict(zip(names, _counts(split.labels, names, problem).tolist(), strict=True))
    if split.rows is not None:
        found["repeated"] = split.count - len(set(split.rows))
        if known is not None:
            found["in_train"] = sum(map(known.__contains__, split.rows)) if known else 0
        if split.labels is not None:
            found["contradicting"] = _contradicting(split.rows, split.labels) if found["repeated"] else 0
    return {**found, **(split.more or {})}


def _counts(labels: np.ndarray, names: Sequence[str], problem: str) -> np.ndarray:
    if problem == MULTI:
        return labels.sum(axis=0).astype(np.int64)
    return np.bincount(labels.astype(np.int64), minlength=len(names))


def _contradicting(rows: Sequence[Hashable], labels: np.ndarray) -> int:
    """How many rows have a like with another label."""
    said: dict[Hashable, Any] = {}
    torn = set()
    values = labels.tolist() if labels.ndim == 1 else list(map(tuple, labels.tolist()))
    for row, label in zip(rows, values, strict=True):
        if said.setdefault(row, label) != label:
            torn.add(row)
    return sum(row in torn for row in rows) if torn else 0


def alike(names: Sequence[str]) -> list[list[str]]:
    """Groups of names that differ by case, spaces, punctuation or how Unicode writes them alone, each of two or more.

    >>> alike(["Good", "good ", "bad", "very-bad", "very bad"])
    [['Good', 'good '], ['very-bad', 'very bad']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        letters = (
            [one for one in plain if one.isalnum()] if any(map(str.isalpha, plain)) else plain.split()
        )  # -1 is not 1
        groups.setdefault("".join(letters) or name, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """What is odd about the data, in short phrases; none where nothing is."""
    found = []
    empty = sum(split.get("empty_texts", 0) for split in facts["splits"].values())
    if empty:
        found.append(f"{empty:,} empty text{'s' if empty > 1 else ''}")
    unseen = [name for name, count in facts["splits"].get("train", {}).get("classes", {}).items() if not count]
    if unseen:
        found.append(f"no row of train is {listed(unseen, 5)}, which so cannot be learned")
    for name, split in facts["splits"].items():
        if name == "train" and split.get("repeated"):
            said = "repeats" if split["repeated"] == 1 else "repeat"
            found.append(f"{split['repeated']:,} of the {split['rows']:,} rows of {name} {said} another")
        if split.get("contradicting"):
            found.append(f"{split['contradicting']:,} rows of {name} stand there again with another label")
        if both := split.get("in_train"):
            found.append(
                f"{both:,} of the {split['rows']:,} rows of {name} {'is' if both == 1 else 'are'} in train too, which flatters"
                " their scores"
            )
    if groups := facts["labels_alike"]:
        told = ", ".join(" and ".join(map(repr, group[:3])) for group in groups[:3])
        found.append(f"labels that differ by case, spaces or punctuation alone: {told}")
    return found
