"""Regressions on targets of any size: trained standardised, answered in the data's unit by the saved model itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from tinyrun import flags, rows
from transformers import AutoModelForSequenceClassification, pipeline

from logitmix_hf.commands.glue import main
from logitmix_hf.evaluation import Predictions


def priced(path: Path, count: int, seed: int, factor: float, offset: float) -> Path:
    texts = rows(count, seed)["text"].to_pylist()
    values = [(text.split().count("good") - text.split().count("bad")) * factor + offset for text in texts]
    pa.csv.write_csv(pa.table({"text": texts, "price": values}), path)
    return path


def train(tiny_model: str, home: Path, name: str, factor: float, offset: float, **changes) -> Path:
    train_file = priced(home / f"{name}-train.csv", 96, 0, factor, offset)
    validation = priced(home / f"{name}-validation.csv", 40, 1, factor, offset)
    given = {"label_column": "price", "regression": "true", "num_train_epochs": 8, "learning_rate": 5e-3, **changes}
    words = flags(tiny_model, home, home / name, **{**given, "train_file": train_file, "validation_file": validation})
    assert main(words) == 0
    return home / name


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    home = tmp_path_factory.mktemp("priced")
    return {
        "units": train(tiny_model, home, "units", 1.0, 0.0),
        "prices": train(tiny_model, home, "prices", 52_000.0, 177_000.0),
    }


def predicted(run: Path) -> np.ndarray:
    return Predictions.load(run / "predictions" / "validation.parquet").predictions


def test_prices_are_learnt_as_well_as_units(runs):
    """Another unit is another name for the same task: predictions follow it, whatever the method."""
    np.testing.assert_allclose(predicted(runs["prices"]), predicted(runs["units"]) * 52_000 + 177_000, rtol=1e-3)
    results = json.loads((runs["prices"] / "eval_results.json").read_text())
    assert results["eval_r2"] > 0.3
    logged = json.loads((runs["prices"] / "trainer_state.json").read_text())["log_history"]
    by_epoch = [line["eval_rmse"] for line in logged if "eval_rmse" in line]
    assert len(by_epoch) == 8
    assert min(by_epoch) > 1_000  # on the way too in the data's unit


def test_the_numbers_are_those_of_other_libraries(runs):
    saved = Predictions.load(runs["prices"] / "predictions" / "validation.parquet")
    results = json.loads((runs["prices"] / "eval_results.json").read_text())
    truth, guess = saved.labels, saved.predictions
    expected = {
        "r2": r2_score(truth, guess),
        "rmse": root_mean_squared_error(truth, guess),
        "mae": mean_absolute_error(truth, guess),
        "pearson": stats.pearsonr(truth, guess).statistic,
        "spearmanr": stats.spearmanr(truth, guess).statistic,
    }
    assert {name: results[f"eval_{name}"] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert results["eval_loss"] == pytest.approx(results["eval_rmse"] ** 2, rel=1e-4)


def test_the_saved_model_and_a_pipeline_answer_in_the_datas_unit(runs):
    texts = rows(40, 1)["text"].to_pylist()
    answer = pipeline("text-classification", model=str(runs["prices"]))
    assert [row["score"] for row in answer(texts)] == pytest.approx(predicted(runs["prices"]).tolist(), rel=1e-4)
    config = AutoModelForSequenceClassification.from_pretrained(runs["prices"]).config
    assert config.logitmix_targets["inside"] is True
    assert config.logitmix_targets["mean"] == pytest.approx(177_000, abs=30_000)


def test_training_goes_on_from_a_model_that_has_learnt_prices(runs, tmp_path, capfd):
    """Its head answers in prices: taken out of it first, it begins where it ended, and a vanishing step leaves it there."""
    again = train(str(runs["prices"]), tmp_path, "again", 52_000.0, 177_000.0, learning_rate=1e-12, num_train_epochs=1)
    np.testing.assert_allclose(predicted(again), predicted(runs["prices"]), rtol=1e-3)
    assert "targets are standardised for training" in capfd.readouterr().err


def test_a_judged_model_that_is_not_trained_is_left_as_it_is(runs, tmp_path):
    validation = priced(tmp_path / "v.csv", 40, 1, 52_000.0, 177_000.0)
    words = flags(
        str(runs["prices"]), tmp_path, tmp_path / "judged", label_column="price", regression="true", do_train="false",
        train_file=None, validation_file=validation,
    )  # fmt: skip
    assert main(words) == 0
    np.testing.assert_allclose(predicted(tmp_path / "judged"), predicted(runs["prices"]), rtol=1e-5)
