"""Studies of finished runs, written without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reportruns import labels_of, logits_of, write_run
from studyruns import fake_file

from logitmix_hf.studies.manifest import Cell, Study


def cell_of(folder: Path, **labels: Any) -> Cell:
    return Cell(folder.name, labels, [], folder)


def study_of(name: str, cells: list[Cell], compare: dict[str, Any] | None = None) -> Study:
    return Study(name, Path(name), "glue", compare or {}, cells, fake_file())


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
                cells.append(cell_of(folder, task=task, method=method, seed=seed))
    return study_of(
        "toy", cells, {"baseline": next(iter(methods)), "metrics": ["headline", "eval_nll", "eval_ece"], **compare}
    )
