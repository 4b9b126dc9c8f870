"""Trainings with thresholds: fitted on the rows of the temperature, kept in the model, and used by predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calibraterun import predict, read, saved
from pyarrow import csv
from sklearn.metrics import f1_score
from tinyrun import flags

from logitmix_hf.cli import main as logitmix
from logitmix_hf.commands.glue import main as glue
from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.thresholds import fit_thresholds
from logitmix_hf.serving import load_classifier


@pytest.fixture
def run(decided) -> Path:
    return decided


def test_the_files_alone_give_the_threshold_and_the_scores(run):
    told, apart, after = read(run / "eval_results.json"), saved(run, "calibration"), saved(run, "validation")
    decision = told["decision"]
    calibrated = Predictions(apart.logits / told["temperature"], apart.labels, apart.label_names)
    expected = fit_thresholds(calibrated, cost={"FN": 9.0, "FP": 1.0}).values
    assert decision["thresholds"] == pytest.approx(expected, abs=1e-6)
    assert read(run / "config.json")["logitmix"]["decision"]["thresholds"] == decision["thresholds"]
    said = (after.probabilities[:, 1] > decision["thresholds"]["up"]).astype(int)
    assert decision["eval"]["after"]["f1_macro"] == pytest.approx(f1_score(after.labels, said, average="macro"))  # type: ignore[arg-type]
    misses, alarms = ((after.labels == 1) & (said == 0)).sum(), ((after.labels == 0) & (said == 1)).sum()
    assert decision["eval"]["after"]["cost"] == pytest.approx((9 * misses + alarms) / len(after))


def test_predict_says_what_the_threshold_says(run, files, tmp_path):
    assert predict(run, files, tmp_path / "said.csv", "--probabilities") == 0
    table = csv.read_csv(tmp_path / "said.csv").to_pydict()
    limit = read(run / "eval_results.json")["decision"]["thresholds"]["up"]
    assert table["label"] == ["up" if p > limit else "down" for p in table["p_up"]]
    assert table["probability"] == [row["p_up"] if row["label"] == "up" else row["p_down"] for row in rows_of(table)]
    assert predict(run, files, tmp_path / "top.csv", "--top_k", "1") == 0
    top = csv.read_csv(tmp_path / "top.csv").to_pydict()
    assert top["label"] == ["up" if p > 0.5 else "down" for p in table["p_up"]]


def rows_of(table: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def test_the_card_says_how_it_decides(run):
    section = (run / "README.md").read_text().partition("## Decisions")[2].partition("\n## ")[0]
    assert "a miss (FN) costs 9, a false alarm (FP) 1" in section
    assert "| up |" in section
    assert "Cost of a row" in section


def test_the_exported_file_knows_them(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert logitmix(["export", str(run), "--output", str(tmp_path / "onnx")]) == 0
    told = {entry.key: entry.value for entry in onnx.load(tmp_path / "onnx" / "model.onnx").metadata_props}
    assert json.loads(told["thresholds"]) == read(run / "config.json")["logitmix"]["decision"]
    assert load_classifier(str(run)).thresholds is not None


def test_by_halves_and_for_each_label(tiny_model, files, tmp_path, capfd):
    words = flags(
        tiny_model, files, tmp_path / "out", protocol="halves", thresholds="label", positive_label="down", bootstrap=0
    )
    assert glue(words) == 0
    decision = read(tmp_path / "out" / "eval_results.json")["decision"]
    assert list(decision["thresholds"]) == ["down"]
    assert "thresholds (label): 'down'" in capfd.readouterr().err
    after = saved(tmp_path / "out", "validation")
    half = np.zeros(24, dtype=bool)
    half[np.random.default_rng(42).permutation(24)[12:]] = True
    each = [fit_thresholds(after.some(part), positive="down").values["down"] for part in (half, ~half)]
    assert decision["thresholds"]["down"] == pytest.approx(np.mean(each), abs=1e-6)
    said = np.where(after.probabilities[:, 0] > np.where(half, each[1], each[0]), 0, 1)
    assert decision["eval"]["after"]["accuracy"] == pytest.approx(np.mean(said == after.labels))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"thresholds": "label"}, "--calibration_split"),
        ({"thresholds": "f1", "protocol": "halves"}, "No goal of --thresholds is called 'f1'"),
        ({"cost": "FN=5", "thresholds": "macro", "protocol": "halves"}, "take one"),
        ({"cost": "5", "protocol": "halves"}, "--cost FN=5,FP=1"),
        ({"positive_label": "up", "protocol": "halves"}, "add --thresholds"),
        ({"positive_label": "upp", "thresholds": "label", "protocol": "halves"}, "'up'"),
    ],
)
def test_mistakes(changes, words, tiny_model, files, tmp_path, capfd):
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 2
    error = capfd.readouterr().err.strip().split("\n")[-1]
    assert error.startswith("error: ")
    assert words in error
    assert not (tmp_path / "out").exists()
