"""Every study that is shipped says what it costs, and names as many runs as its table needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logitmix_hf.commands.study_check import read
from logitmix_hf.studies import resolve
from logitmix_hf.studies.cells import asked_runs
from logitmix_hf.studies.file import SHIPPED, parse_file
from logitmix_hf.studies.scores import method_of
from logitmix_hf.studies.tables import read_paper

RUNS = {
    "smoke": 2 * 2 * 2,
    "rivals": 6 * 7 * 6,  # tasks, methods, seeds
    "sites": 3 * (2 * 4 + 1) * 6,
    "middle": (2 * 2 + 1) * 10,
    "table1": 6 * 3,
    "table2": 5 * 7 * 3,
    "table3": 8 * 3 * 6,
    "table5": 3 * 7 * 3,
    "mixmo1": 2 * 13 * 3,
    "mixmo2": 7 * 3,
    "mixmo3": 5 * 3,
    "mixmo4": 8 * 3,
    "mixmo5": 3 * 7 * 3,
    "mixmo6": 6,
}


def test_all_are_here_and_begin_with_their_price():
    files = {path.stem: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.yaml")}
    assert set(files) == set(RUNS)
    assert all(re.match(r"# About \d+ (minutes|hours) of (one|a) (CPU core|GPU)", text) for text in files.values())


@pytest.mark.parametrize("name", RUNS)
def test_it_is_read_and_names_its_runs(name, tmp_path, monkeypatch):
    """With a model that needs no Hub in place of BERT, and without the GPU of its runs."""
    monkeypatch.chdir(tmp_path)
    Path("CIFAR-100-C").mkdir()
    np.save("CIFAR-100-C/fog.npy", np.zeros((5, 32, 32, 3), np.uint8))
    np.save("CIFAR-100-C/labels.npy", np.zeros(5, int))
    seen: set[str] = set()
    monkeypatch.setattr(
        resolve, "_answers", lambda file, runs, *_: [read(file.command, r.words, True, seen) for r in runs]
    )
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").replace("google-bert/bert-base-uncased", "builtin")
    study = parse_file(text, f"{name}.yaml")
    asked = asked_runs(study)
    assert len(asked) == RUNS[name]
    cells = resolve.resolved_study(
        replace(study, grid={axis: values[:1] if axis == "seed" else values for axis, values in study.grid.items()})
    ).cells
    assert len({cell.id for cell in cells}) == len(cells) == RUNS[name] // len(study.grid["seed"])
    rows = {(method_of(cell), str(cell.labels["task"])) for cell in cells}
    if (SHIPPED / f"{name}.paper.csv").is_file():
        told = read_paper(SHIPPED / f"{name}.paper.csv")
        assert {(method, task.split(" · ")[0]) for task, method, _ in told} <= rows
        assert all(
            0 < mean < 1.0 or metric.endswith(("nll_at_t", "_nll", "oe")) for (_, _, metric), (mean, _) in told.items()
        )


def test_the_papers_numbers_are_those_of_its_tables():
    assert read_paper(SHIPPED / "table1.paper.csv")["cifar100", "mix+cls", "accuracy"] == (0.8008, 0.0049)
    assert read_paper(SHIPPED / "table2.paper.csv")["cifar100", "logitmix, model resnet50", "ece"] == (0.014, None)
    assert read_paper(SHIPPED / "table5.paper.csv")["cifar100", "without cls, alpha 4", "accuracy"] == (0.8021, None)
    assert read_paper(SHIPPED / "mixmo1.paper.csv")["cifar10", "cut+cutmix-b4", "nll_at_t"] == (0.079, None)
    assert read_paper(SHIPPED / "mixmo4.paper.csv")["cifar100", "cut-b4+augmix", "corrupted_all19_accuracy"] == (
        0.711,
        None,
    )
    assert read_paper(SHIPPED / "mixmo6.paper.csv")["cifar100", "cut_mixmo", "nll_at_t"] == (0.524, 0.005)
    assert read_paper(SHIPPED / "mixmo5.paper.csv")["tiny-imagenet", "cut-b4, model preactresnet18-3", "accuracy"] == (
        0.7024,
        None,
    )
