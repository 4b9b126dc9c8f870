"""``--folds K``: every row judged by a model that did not see it, one model of all rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from calibraterun import read, saved
from pyarrow import csv
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from tinyrun import flags
from visionrun import flags as image_flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.report import main as report
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE, Predictions, evaluate_predictions, fit_halves
from logitmix_hf.training.folds import fold_rows, joined


def words(model: str, files: Path, output: Path, **more: Any) -> list[str]:
    return flags(model, files, output, **{"validation_file": None, "folds": 3, "bootstrap": 0, **more})


@pytest.fixture(scope="module")
def run(tiny_model, files, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("folds") / "out"
    assert glue(words(tiny_model, files, folder, thresholds="label", seed=5)) == 0
    return folder


def test_every_row_is_judged_once_by_scikit_learns_folds(run, files):
    labels = [["down", "up"].index(label) for label in csv.read_csv(files / "train.csv")["stars"].to_pylist()]
    before, after = saved(run, "calibration"), saved(run, "out_of_fold")
    assert before.idx is not None
    assert before.idx.tolist() == list(range(48))
    assert before.labels.tolist() == labels  # type: ignore[union-attr]
    for number, (rest, part) in enumerate(StratifiedKFold(3, shuffle=True, random_state=5).split(labels, labels)):
        own = saved(run / "folds" / str(number), "validation")
        assert own.idx.tolist() == part.tolist()  # type: ignore[union-attr]
        assert np.array_equal(own.logits, before.logits[part])
        assert read(run / "folds" / str(number) / "run.json")["data"]["train_rows"] == len(rest)
    fitted = fit_halves(before.logits, before.labels, seed=5)  # type: ignore[arg-type]
    assert after.logits == pytest.approx(fitted.apply(before.logits), abs=1e-5)
    results = read(run / "eval_results.json")
    assert results["temperature"] == pytest.approx(fitted.value)
    assert results["eval_accuracy"] == pytest.approx(evaluate_predictions(after)["accuracy"])
    assert results["folds"]["count"] == 3
    assert len(results["folds"]["scores"]) == 3


def test_suspects_have_their_texts(run, files):
    found = csv.read_csv(run / "suspects.csv").to_pylist()
    texts = csv.read_csv(files / "train.csv")["text"].to_pylist()
    assert found
    assert all(row["text"] == texts[row["idx"]] for row in found)


def test_the_model_that_is_kept_was_trained_on_all_rows_and_carries_what_was_fitted(run):
    record, config = read(run / "run.json"), read(run / "config.json")
    assert record["data"]["train_rows"] == 48
    assert config["logitmix"]["temperature"] == read(run / "eval_results.json")["temperature"]
    assert set(config["logitmix"]["decision"]["thresholds"]) == {"up"}
    card = (run / "README.md").read_text()
    assert "out of fold" in card
    assert "3 models that did not train on it" in card


def test_a_validation_split_of_its_own_is_judged_by_the_model_that_is_kept(tiny_model, files, tmp_path):
    more = {"validation_file": files / "validation.csv", "folds": 2, "max_steps": 2}
    more |= {"shift": f"other={files / 'validation.csv'}"}
    assert glue(words(tiny_model, files, tmp_path / "out", **more)) == 0
    results = read(tmp_path / "out" / "eval_results.json")
    assert results["eval_samples"] == 48
    assert results["eval_validation_samples"] == 24
    assert len(saved(tmp_path / "out", "validation")) == 24
    assert len(saved(tmp_path / "out", "shift_other")) > 0
    assert not (tmp_path / "out" / "folds" / "0" / "predictions" / "shift_other.parquet").exists()
    assert report([str(tmp_path / "out"), "--output_dir", str(tmp_path / "report"), "--bootstrap", "0"]) == 0


def test_a_run_that_stopped_goes_on(run, tiny_model, files, tmp_path, capfd):
    """As if it had been killed within the second fold: the first is not trained again, and all comes out the same."""
    shutil.copytree(run, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "folds" / "2")
    record = tmp_path / "out" / "folds" / "1" / "run.json"
    record.write_text(json.dumps({**read(record), "status": "interrupted"}))
    (tmp_path / "out" / "run.json").write_text(json.dumps({"format": read(record)["format"], "status": "running"}))
    again = words(tiny_model, files, tmp_path / "out", thresholds="label", seed=5, resume="true")
    assert glue(again) == 0
    assert capfd.readouterr().out.count("is done: nothing is left") == 1
    assert np.array_equal(saved(tmp_path / "out", "out_of_fold").logits, saved(run, "out_of_fold").logits)
    assert glue(again) == 0  # done
    assert glue(words(tiny_model, files, tmp_path / "out", thresholds="label", seed=5)) == 2


@pytest.mark.parametrize("count", [2, 5])
def test_rows_out_of_fold_are_those_of_cross_val_predict(count):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    x[:, 0] += y
    expected = cross_val_predict(
        LogisticRegression(), x, y, cv=StratifiedKFold(count, shuffle=True, random_state=7), method="predict_log_proba"
    )
    parts = fold_rows(y.tolist(), SINGLE, count, 7)
    each = []
    for part in parts:
        rest = np.setdiff1d(np.arange(60), part)
        logits = LogisticRegression().fit(x[rest], y[rest]).predict_log_proba(x[part])
        each.append(Predictions(logits, y[part], idx=part))
    got = joined(each).some(np.argsort(np.concatenate(parts)))
    assert got.logits == pytest.approx(expected, abs=1e-5)
    assert got.labels is not None
    assert got.labels.tolist() == y.tolist()


def test_folds_of_several_labels_and_of_values_are_balanced():
    rng = np.random.default_rng(0)
    labels = (rng.random((90, 2)) < [0.5, 0.2]).astype(float)
    for part in fold_rows(labels.tolist(), MULTI, 3, 0):
        assert len(part) == 30
        assert labels[part].mean(0) == pytest.approx(labels.mean(0), abs=0.07)
    values = rng.normal(size=90)
    for part in fold_rows(values.tolist(), REGRESSION, 3, 0):
        assert np.mean(values[part] > np.median(values)) == pytest.approx(0.5, abs=0.07)


def test_a_regression_has_scores_out_of_fold_and_no_temperature(tiny_model, tmp_path):
    table = pa.table({"text": [f"good film {n}" for n in range(30)], "price": [1000.0 + 7 * n for n in range(30)]})
    csv.write_csv(table, tmp_path / "train.csv")
    more = {"label_column": "price", "regression": "true", "folds": 2, "max_steps": 2}
    assert glue(words(tiny_model, tmp_path, tmp_path / "out", **more)) == 0
    results = read(tmp_path / "out" / "eval_results.json")
    assert "temperature" not in results
    judged = saved(tmp_path / "out", "out_of_fold")
    assert judged.labels == pytest.approx(np.array(table["price"].to_pylist()))
    assert results["eval_samples"] == 30


def test_images(tmp_path):
    more = {"method": "vanilla", "folds": 2, "bootstrap": 0}
    assert vision(image_flags(tmp_path / "out", **more)) == 0
    record, joint = read(tmp_path / "out" / "run.json"), saved(tmp_path / "out", "calibration")
    assert record["data"]["train_rows"] == len(joint) == 64
    parts = [saved(tmp_path / "out" / "folds" / str(k), "validation") for k in range(2)]
    assert sorted(np.concatenate([part.idx for part in parts]).tolist()) == sorted(joint.idx.tolist())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"folds": 1}, "folds must be"),
        ({"folds": 49}, "--folds 49 needs at least 49 training rows, and there are 48"),
        ({"calibration_split": 0.2}, "take one"),
        ({"do_train": "false"}, "--do_train false"),
        ({"load_best_model_at_end": "true"}, "--load_best_model_at_end"),
        ({"thresholds": "label", "positive_label": "upp"}, "'upp'"),
        ({"shift": "other=missing.csv"}, "missing.csv"),
        ({"ood": "other=missing.csv"}, "missing.csv"),
    ],
)
def test_mistakes(changes, told, tiny_model, files, tmp_path, capfd):
    assert glue(words(tiny_model, files, tmp_path / "out", **changes)) == 2
    error = [line for line in capfd.readouterr().err.strip().split("\n") if line.startswith("error: ")]
    assert len(error) == 1
    assert told in error[0]
    assert not (tmp_path / "out").exists()
