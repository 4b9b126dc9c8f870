"""What final judging writes: every score, its interval, and both sides of a temperature."""

from __future__ import annotations

import json

import numpy as np
import pytest

from logitmix_hf.evaluation import REGRESSION, Predictions, bootstrap, compare, review
from logitmix_hf.reporting.folder import REPORT_FILES, RunFolder
from logitmix_hf.reporting.results import write_results

REVIEWED = [
    *("ece", "oe", "confidence_gap", "nll", "brier"),
    *("ece_mass", "ece_classwise", "mce", "rmsce_debiased", "ece_by_chance"),
    *("brier_reliability", "brier_resolution", "brier_uncertainty", "aurc", "accuracy_at_80"),
]


def make(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=80)
    return Predictions((rng.normal(size=(80, 2)) + np.eye(2)[labels]) * scale, labels)


def read(folder, name):
    return json.loads((folder.path / name).read_text())


def test_every_score_and_its_interval(tmp_path):
    folder = RunFolder(tmp_path)
    splits = {"eval": ("validation_matched", make()), "eval_mm": ("validation_mismatched", make(1))}
    written = write_results(folder, splits, ("accuracy", "f1"), resamples=50, timings={"eval_runtime": 1.5})
    assert read(folder, "eval_results.json") == written
    intervals = read(folder, "intervals.json")
    assert intervals.keys() == {"level", "resamples", "seed", "eval", "eval_mm"}
    assert (intervals["level"], intervals["resamples"], intervals["seed"]) == (0.95, 50, 0)
    for prefix, (name, _) in splits.items():
        saved = Predictions.load(folder.predictions_path(name))  # the file alone gives them all again
        found = bootstrap(saved, ("accuracy", "f1"), resamples=50)
        assert list(intervals[prefix]) == ["accuracy", "f1", *REVIEWED]
        assert {key: tuple(ends) for key, ends in intervals[prefix].items()} == {
            key: (each.low, each.high) for key, each in found.items()
        }
        assert {key: written[f"{prefix}_{key}"] for key in found} == review(saved, ("accuracy", "f1"))
        assert written[f"{prefix}_samples"] == 80
    assert written["eval_runtime"] == 1.5


def test_both_sides_of_a_temperature(tmp_path):
    folder, p = RunFolder(tmp_path), make()
    before = Predictions(p.logits * 3, p.labels)
    written = write_results(
        folder, {"eval": ("validation", p)}, ("accuracy",), resamples=20, uncalibrated={"eval": before}
    )
    kept = [key.removeprefix("eval_uncalibrated_") for key in written if key.startswith("eval_uncalibrated_")]
    assert kept == REVIEWED  # accuracy is the same on both sides, and said once
    assert {key: written[f"eval_uncalibrated_{key}"] for key in REVIEWED} == {
        key: value for key, value in review(before).items() if key in REVIEWED
    }
    assert list(read(folder, "intervals.json")["eval_uncalibrated"]) == REVIEWED


def test_without_resamples_there_are_no_intervals_not_even_old_ones(tmp_path):
    folder, splits = RunFolder(tmp_path), {"eval": ("validation", make())}
    with_them = write_results(folder, splits, ("accuracy",), resamples=5)
    assert (tmp_path / "intervals.json").exists()
    assert write_results(folder, splits, ("accuracy",), resamples=0) == with_them
    assert not (tmp_path / "intervals.json").exists()


def test_a_regression_has_intervals_of_what_it_has(tmp_path):
    rng = np.random.default_rng(0)
    p = Predictions(rng.normal(size=40), rng.normal(size=40), problem=REGRESSION)
    write_results(RunFolder(tmp_path), {"eval": ("validation", p)}, ("pearson", "spearmanr"), resamples=20)
    intervals = json.loads((tmp_path / "intervals.json").read_text())["eval"]
    assert list(intervals) == ["pearson", "spearmanr"]
    assert all(low < high for low, high in intervals.values())
    assert not (tmp_path / "reliability.png").exists()


def test_a_correlation_without_spread_is_null_in_the_file(tmp_path):
    p = Predictions(np.zeros(10), np.arange(10.0), problem=REGRESSION)
    write_results(RunFolder(tmp_path), {"eval": ("validation", p)}, ("pearson", "mse"), resamples=20)
    intervals = json.loads((tmp_path / "intervals.json").read_text())["eval"]
    assert intervals["pearson"] == [None, None]
    assert intervals["mse"][0] < intervals["mse"][1]


def test_two_runs_that_were_saved_can_be_compared(tmp_path):
    for name, scale in (("a", 1.0), ("b", 5.0)):
        make(scale=scale).save(tmp_path / f"{name}.parquet")
    found = compare(*(Predictions.load(tmp_path / f"{name}.parquet") for name in "ab"), resamples=100)
    assert found["accuracy"].p == 1
    assert found["nll"].high < 0, "the second is far too sure"


@pytest.mark.parametrize("name", ["intervals.json", "eval_results.json"])
def test_the_numbers_go_with_the_model(name):
    assert name in REPORT_FILES
