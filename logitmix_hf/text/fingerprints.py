"""Tables as data sets of ``datasets``, known by their content; their classes in another order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from logitmix_hf.evaluation.predictions import MULTI, SINGLE

if TYPE_CHECKING:
    from datasets import Dataset


def dataset_of(table: pa.Table) -> Dataset:
    """With a fingerprint of its rows, the same on every machine."""
    from datasets import Dataset

    rows = (table.slice(start, 10_000).to_pydict() for start in range(0, len(table), 10_000))
    return Dataset(table, fingerprint=digest_of(rows))  # type: ignore[arg-type]


def digest_of(*parts: Any) -> str:
    """16 hex digits of the SHA-256 of values; a part may be an iterator of values."""
    digest = hashlib.sha256()
    for part in parts:
        for value in part:
            digest.update(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()[:16]


def renumbered(split: Dataset, numbers: list[int], classes: int, problem: str) -> Dataset:
    """Class k as number ``numbers[k]`` of ``classes``, in ``labels`` and in ``posterior``."""
    table: Mapping[str, Any] = {name: split.data.column(name) for name in split.column_names}
    made = dict(table)
    if "labels" in made and problem == SINGLE:
        made["labels"] = pa.array(np.array(numbers)[made["labels"].to_numpy()])
    for name in ("labels", "posterior"):
        if name in made and (name == "posterior" or problem == MULTI):
            wide = np.zeros((len(split), classes))
            wide[:, numbers] = made[name].to_pylist()
            made[name] = pa.array(wide.tolist(), made[name].type)
    return dataset_of(pa.table(made))
