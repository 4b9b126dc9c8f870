"""The table over runs: what temperature scaling beside each score is allowed to see."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.compare_runs import table
from logitmix_hf.evaluation import Predictions, evaluate_predictions, fit_temperature
from logitmix_hf.reporting.comparison.temperature import temper
from logitmix_hf.reporting.folder import RunFolder


def overconfident(rows: int = 400, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1, (rows, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([draw.choice(3, p=row) for row in p])
    return Predictions(logits=4 * logits, labels=labels)  # the right temperature is 4


def test_beside_each_score_stands_its_mean_after_a_temperature_over_halvings_the_first_is_the_reports(tmp_path):
    run_of(tmp_path / "one")
    cells = table([tmp_path / "one"]).splitlines()[2].split(" | ")
    predictions = Predictions.load(tmp_path / "one" / "predictions" / "validation.parquet")
    told = temper(SimpleNamespace(results={}, fitted=None), predictions)  # type: ignore[arg-type]
    assert told is not None
    assert told.value == pytest.approx(4, rel=0.25)
    logits, labels, after = predictions.logits.astype(float), predictions.labels, []
    for seed in (31, 32, 33, 34, 35):
        first, second = (np.sort(half) for half in np.array_split(np.random.default_rng(seed).permutation(400), 2))
        scaled = logits.copy()
        for fitted, judged in ((first, second), (second, first)):
            scaled[judged] /= fit_temperature(logits[fitted], labels[fitted]).value  # type: ignore[index]
        after.append(evaluate_predictions(Predictions(scaled, labels)))
    assert after[0]["ece"] == pytest.approx(evaluate_predictions(told.after)["ece"])
    assert cells[8:10] == [f"{np.mean([one[name] for one in after]):.3f}" for name in ("ece", "nll")]


def run_of(path, *, seconds=10, method=None, **results) -> None:
    folder = RunFolder(path)
    folder.claim()
    data = {"name": "sst2", "metrics": ["accuracy"], "splits": {"eval": {"split": "validation"}}}
    named = {"name": "logitmix", "site": "cls", **(method or {})}
    folder.write_json("run.json", {"data": data, "method": named, "seconds": seconds})
    values = {"accuracy": 0.8, "ece": 0.1, "oe": 0.05, "nll": 0.5, **results}
    (path / "eval_results.json").write_text(json.dumps({f"eval_{name}": value for name, value in values.items()}))
    overconfident(seed=len(str(path))).save(folder.predictions_path("validation"))


def test_runs_that_differ_in_more_than_their_seed_are_told_apart(tmp_path):
    for number, alpha in enumerate((0.4, 3.0, 3.0)):
        run_of(tmp_path / str(number), method={"alpha": alpha})
    lines = table(sorted(tmp_path.iterdir())).splitlines()
    assert [line.split(" | ")[1:3] for line in lines[2:]] == [
        ["logitmix cls alpha 0.4", "1"],
        ["logitmix cls alpha 3.0", "2"],
    ]


def test_seeds_of_one_method_become_a_mean_and_half_the_range(tmp_path):
    for seed, accuracy in ((1, 0.8), (2, 0.9)):
        run_of(tmp_path / f"s{seed}", seconds=10 * seed, accuracy=accuracy)
    lines = table([tmp_path / "s1", tmp_path / "s2"]).splitlines()
    assert lines[2].startswith("| sst2 | logitmix cls | 2 | 0.850 ± 0.050 | 0.100 ± 0.000 | 0.050 ± 0.000 |")
    assert lines[2].endswith("| 15 ± 5 |")
