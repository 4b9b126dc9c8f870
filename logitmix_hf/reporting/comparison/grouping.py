"""Runs in order: those judged on the very same rows make a task; of a task, those that differ by the seed a method."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from logitmix_hf.evaluation import Predictions
from logitmix_hf.reporting.comparison.runs import ComparedRun
from logitmix_hf.reporting.record import MAY_DIFFER

SAME = (*MAY_DIFFER, "seed", "data_seed", "recipe", "use_cpu", "cache_dir", "memory_limit", "bins", "bootstrap")
"""Arguments that make no other method, as patterns: seeds, and what moves no weight."""


@dataclass(frozen=True, eq=False)
class Member:
    """One run on one split."""

    run: ComparedRun
    prefix: str
    split: str
    predictions: Predictions

    @property
    def source(self) -> str:
        """The file or the split of the data that was judged; older runs know the name of its predictions alone."""
        return str(self.run.data["splits"][self.prefix].get("source") or self.split)


@dataclass(frozen=True, eq=False)
class Variant:
    """Runs that differ by nothing but the seed."""

    label: str
    members: Sequence[Member]


@dataclass(frozen=True, eq=False)
class JudgedTask:
    """Runs that were judged on the same rows, which alone may be compared.

    Attributes:
        title: data and split.
        prefix: of the results' keys.
    """

    title: str
    prefix: str
    variants: Sequence[Variant]

    @property
    def members(self) -> list[Member]:
        return [member for variant in self.variants for member in variant.members]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every run's scores, in the order of the first that has them."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.run.metrics))

    @property
    def problem(self) -> str:
        return self.members[0].predictions.problem

    @property
    def rows(self) -> int:
        return len(self.members[0].predictions)


def group(runs: Sequence[ComparedRun]) -> list[JudgedTask]:
    """The tasks in the order in which the runs were given."""
    grouped: dict[tuple[str, ...], list[Member]] = {}
    for run in runs:
        for prefix, (split, predictions) in run.splits.items():
            key = (str(run.data.get("name")), prefix, split, predictions.problem, same_rows(predictions))
            grouped.setdefault(key, []).append(Member(run, prefix, split, predictions))
    titles = {key: f"{key[0]} · {members[0].source}" for key, members in grouped.items()}
    often = Counter(titles.values())
    seen: Counter[str] = Counter()
    tasks = []
    for key, members in grouped.items():
        title = titles[key]
        if often[title] > 1:  # the same name, and yet other rows or labels
            seen[title] += 1
            title += f" · {len(members[0].predictions):,} rows ({seen[titles[key]]} of {often[titles[key]]})"
        tasks.append(JudgedTask(title, key[1], variants(members)))
    return tasks


def same_rows(predictions: Predictions) -> str:
    """A mark that two predictions share if, and only if, they are of the same rows with the same labels."""
    assert predictions.labels is not None
    digest = hashlib.sha256(json.dumps([predictions.label_names, predictions.labels.shape]).encode())
    for array in (predictions.idx, predictions.labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def variants(members: Sequence[Member]) -> list[Variant]:
    """The methods among the runs of one task, each named by what sets it apart."""
    grouped: dict[str, list[Member]] = {}
    for member in members:
        key, copies = json.dumps(_what_trains(member.run), sort_keys=True, default=str), 0
        # The same seed again is a copy and no further evidence: it stands on its own.
        while any(member.run.seed == other.run.seed for other in grouped.get(f"{key}{copies}", ())):
            copies += 1
        grouped.setdefault(f"{key}{copies}", []).append(member)
    labels = _labels([found[0].run for found in grouped.values()])
    return [Variant(label, found) for label, found in zip(labels, grouped.values(), strict=True)]


def _what_trains(run: ComparedRun) -> dict[str, Any]:
    arguments = {
        name: value
        for name, value in run.record["arguments"].items()
        if not any(fnmatchcase(name, pattern) for pattern in SAME)
    }
    return {**arguments, "method": run.record["method"].get("name"), "base": _base(run)}


def _base(run: ComparedRun) -> str:
    return str(run.record["model"].get("base") or "").rstrip("/").rpartition("/")[2][:60]


def _labels(runs: Sequence[ComparedRun]) -> list[str]:
    """Names that tell the runs apart: method and place, then the model, then arguments, then the folder."""
    names = [called(run.record) for run in runs]
    if len({_base(run) for run in runs}) > 1:
        names = [f"{_base(run)} {name}" for run, name in zip(runs, names, strict=True)]
    for name in [name for name, times in Counter(names).items() if times > 1]:
        alike = [number for number, other in enumerate(names) if other == name]
        arguments = [_what_trains(runs[number]) for number in alike]
        keys = {key for one in arguments for key in one}
        differing = sorted(key for key in keys if len({repr(one.get(key)) for one in arguments}) > 1)
        for number, one in zip(alike, arguments, strict=True):
            names[number] = ", ".join([name, *(f"{key} {one.get(key)!s:.60}" for key in differing[:3])])
    again = Counter(names)
    return [f"{name} ({run.name})" if again[name] > 1 else name for run, name in zip(runs, names, strict=True)]


def called(record: Mapping[str, Any]) -> str:
    """A run's method with what belongs to it: of text the site, of images the mixer and a site other than the pixels."""
    method = record["method"]
    name, site = str(method.get("name") or "run"), method.get("site")
    words = [name, site]
    if record["model"].get("pipeline_tag") == "image-classification":
        mixer = method.get("mixer") if site and method.get("mixer") != name else None
        words = [name, mixer, None if site == "input" else site]
    elif site and method.get("mixer") not in (None, "linear"):
        words.append(method["mixer"])
    return " ".join(f"{word!s:.60}" for word in words if word)
