"""Runs that keep what sets are made by, and `logitmix predict --coverage`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from calibraterun import predict
from tinyrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.sets import fit_sets


@pytest.fixture(scope="module")
def run(decided, tmp_path_factory) -> Path:
    """The same without its thresholds: what is said is the likeliest class, which leads its set."""
    folder = shutil.copytree(decided, tmp_path_factory.mktemp("sets") / "out")
    config = json.loads((folder / "config.json").read_text())
    del config["logitmix"]["decision"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_predict_gives_the_sets_that_the_stored_rows_give(run, files, tmp_path):
    assert predict(run, files, tmp_path / "said.jsonl", "--coverage", "0.8") == 0
    said = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    apart, after = (Predictions.load(run / "predictions" / f"{name}.parquet") for name in ("calibration", "validation"))
    results = json.loads((run / "eval_results.json").read_text())
    sets = fit_sets(apart)
    assert sets is not None
    inside = sets.members(after.logits * np.float32(results["temperature"]), 0.8)
    for row, own, p in zip(said, inside, after.probabilities, strict=True):
        assert set(row["set"]) == {name for name, one in zip(("down", "up"), own, strict=True) if one}
        assert row["set_size"] == own.sum()
        assert row["set"] in ([], [row["label"]], [row["label"], {"up": "down", "down": "up"}[row["label"]]]), p
    at_90 = sets.members(after.logits * np.float32(results["temperature"]), 0.9)
    told = results["sets"]["eval"]
    assert told["coverage"] == pytest.approx(at_90[np.arange(24), after.labels].mean())
    assert told["size"] == pytest.approx(at_90.sum(1).mean())
    assert "## Sets" in (run / "README.md").read_text()


def test_mistakes_are_told_before_a_model_is_loaded(run, files, tiny_model, tmp_path, capfd):
    plain = tmp_path / "plain"
    assert glue(flags(tiny_model, files, plain, bootstrap=0, max_steps=1)) == 0
    capfd.readouterr()
    for folder, level, words in (
        (run, "0.99", "needs at least 99 calibration rows, and this model kept 90"),
        (run, "1", "cannot be given"),
        (plain, "0.9", "needs calibration rows, of which this model kept none"),
    ):
        assert predict(folder, files, tmp_path / "said.csv", "--coverage", level) == 2
        error = capfd.readouterr().err.strip()
        assert words in error
        assert "\n" not in error
    assert not (tmp_path / "said.csv").exists()


def test_by_halves_no_row_is_judged_by_itself(tiny_model, files, tmp_path):
    assert glue(flags(tiny_model, files, tmp_path / "out", protocol="halves", bootstrap=0)) == 0
    before = Predictions.load(tmp_path / "out" / "predictions" / "calibration.parquet")
    half = np.zeros(24, dtype=bool)
    half[np.random.default_rng(42).permutation(24)[12:]] = True
    right = np.zeros(24, dtype=bool)
    assert before.labels is not None
    for part in (half, ~half):
        other = fit_sets(before.some(~part))
        assert other is not None
        right[part] = other.members(before.logits[part], 0.9)[np.arange(12), before.labels[part]]
    told = json.loads((tmp_path / "out" / "eval_results.json").read_text())["sets"]
    assert told["eval"]["coverage"] == pytest.approx(right.mean())
    assert told["rows"] == 24
