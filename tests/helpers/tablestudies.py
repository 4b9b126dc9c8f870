"""Studies of finished runs, written without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reportruns import labels_of, logits_of, write_run


@dataclass(frozen=True)
class Cell:
    """As ``manifest.Cell``, as far as a table reads it."""

    id: str
    labels: dict[str, Any]
    folder: Path
    dropped: bool = False


@dataclass(frozen=True)
class Study:
    """As ``manifest.Study``, as far as a table reads it."""

    name: str
    cells: list[Cell]
    compare: dict[str, Any] = field(default_factory=dict)


def write_study(
    home: Path,
    methods: dict[str, float],
    tasks: Sequence[str] = ("rte", "mnli-mm"),
    seeds: Sequence[int] = (1, 2, 3, 4, 5, 6),
    rows: int = 160,
    **compare: Any,
) -> Study:
    """Every method on every task with every seed. methods: the share of rows that each gets right."""
    cells = []
    for task in tasks:
        for number, (method, right) in enumerate(methods.items()):
            for seed in seeds:
                labels = labels_of(task, rows)
                logits = logits_of(labels, 100 * number + seed, right)
                folder = home / f"{task}-{method}-s{seed}"
                write_run(folder, task, method, seed, labels=labels, logits=logits)
                cells.append(Cell(folder.name, {"task": task, "method": method, "seed": seed}, folder))
    return Study(
        "toy", cells, {"baseline": next(iter(methods)), "metrics": ["headline", "eval_nll", "eval_ece"], **compare}
    )
