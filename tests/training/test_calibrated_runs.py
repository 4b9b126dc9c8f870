"""Trainings with a temperature, end to end: where it is fitted, where it goes, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from calibraterun import read, saved
from tinyrun import flags, rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from visionrun import flags as image_flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.evaluation import Predictions, evaluate_predictions, fit_halves, fit_temperature, nll
from logitmix_hf.models.folding import forget, keep_in_config, recorded, scaling_left, unfold


@pytest.fixture(scope="module")
def split_run(tiny_model, files, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("split") / "out"
    words = flags(
        tiny_model, files, folder, calibration_split=0.25, num_train_epochs=2, test_file=files / "test.csv",
        do_predict="true", bootstrap=100, seed=3, keep_checkpoints="true",
    )  # fmt: skip
    assert glue(words) == 0
    return folder


def test_the_rows_are_set_apart_before_training_and_recorded(split_run, files):
    record = read(split_run / "run.json")
    apart = saved(split_run, "calibration")
    assert len(apart) == 12
    assert record["data"]["train_rows"] == 36
    told = {"split": "a stratified 0.25 share of train (12 rows), seed 3", "rows": 12, "protocol": "split", "seed": 3}
    assert record["data"]["calibration"] == told
    # stratified: the share of each class is that of train
    labels = pa.csv.read_csv(files / "train.csv")["stars"].to_pylist()
    share = np.mean([label == "up" for label in labels])
    assert np.mean(apart.labels) == pytest.approx(share, abs=1 / 12)
    assert [("down", "up")[label] for label in apart.labels] == [labels[row] for row in apart.idx]


def test_results_before_and_after_follow_from_the_files_alone(split_run):
    results = read(split_run / "eval_results.json")
    after, apart = saved(split_run, "validation"), saved(split_run, "calibration")
    fitted = fit_temperature(apart.logits, apart.labels)
    assert results["temperature"] == pytest.approx(fitted.value, rel=1e-9)
    assert results["calibration"]["interval"] == pytest.approx([fitted.low, fitted.high], rel=1e-9)
    assert (
        results["calibration"] | {"protocol": "split", "rows": 12, "seed": 3, "bound": fitted.bound}
        == results["calibration"]
    )
    before = Predictions(after.logits * np.float32(fitted.value), after.labels)
    for prefix, p in (("eval", after), ("eval_uncalibrated", before)):
        scores = evaluate_predictions(p)
        for name in ("ece", "oe", "nll", "brier", "confidence_gap"):
            assert results[f"{prefix}_{name}"] == pytest.approx(scores[name], abs=1e-6), name
    assert "eval_uncalibrated_accuracy" not in results
    assert results["eval_uncalibrated_loss"] == pytest.approx(results["eval_uncalibrated_nll"], rel=1e-4)
    assert nll(fitted.apply(apart.logits), apart.labels) <= nll(apart.logits, apart.labels)


def test_a_plain_pipeline_gives_the_calibrated_probabilities(split_run, files):
    texts = pa.csv.read_csv(files / "validation.csv")["text"].to_pylist()
    classify: Any = pipeline("text-classification", model=str(split_run), top_k=None)
    for text, probability in zip(texts, saved(split_run, "validation").probabilities, strict=True):
        scores = {row["label"]: row["score"] for row in classify([text])[0]}
        assert [scores[name] for name in ("down", "up")] == pytest.approx(probability.tolist(), abs=1e-5)
    tested = pa.csv.read_csv(files / "test.csv")["text"].to_pylist()
    scores = {row["label"]: row["score"] for row in classify([tested[0]])[0]}
    assert [scores[name] for name in ("down", "up")] == pytest.approx(
        saved(split_run, "test").probabilities[0], abs=1e-5
    )


def test_the_model_says_what_is_in_it_and_unfolds_to_the_weights_that_were_trained(
    split_run, tiny_model, files, tmp_path
):
    model = AutoModelForSequenceClassification.from_pretrained(split_run)
    results = read(split_run / "eval_results.json")
    record = recorded(model.config)
    assert record["temperature"] == results["temperature"]
    assert record | {"folded": True, "protocol": "split", "rows": 12} == record
    (checkpoint,) = split_run.glob("checkpoint-*")
    trained = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert recorded(trained.config) == {}
    unfold(model)
    for name, value in trained.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, rtol=1e-6, atol=0), name


def test_every_way_is_set_beside_the_temperature(split_run):
    table = read(split_run / "calibration.json")
    results = read(split_run / "eval_results.json")
    assert table["temperature"] == results["temperature"]
    methods = table["methods"]["eval"]
    assert list(methods) == ["uncalibrated", "temperature", "vector", "platt", "isotonic"]
    assert methods["temperature"]["nll"] == pytest.approx(results["eval_nll"], abs=1e-6)
    assert methods["uncalibrated"]["nll"] == pytest.approx(results["eval_uncalibrated_nll"], abs=1e-6)


def test_few_rows_are_warned_of_and_the_table_shows_both_sides(tiny_model, files, tmp_path, capfd):
    words = flags(tiny_model, files, tmp_path / "out", calibration_split=0.25, method="vanilla", bootstrap=0)
    assert glue(words) == 0
    told = capfd.readouterr()
    assert "fitted on only 12 rows: its 95% interval is" in told.err or "ran into its" in told.err
    assert (
        next(line.split("  ")[0] for line in told.out.splitlines() if line.startswith("vanilla,")) == "vanilla, T = 1"
    )


def test_fold_false_leaves_the_weights_and_keeps_the_temperature_in_the_configuration(tiny_model, files, tmp_path):
    words = flags(
        tiny_model, files, tmp_path / "out", calibration_split=0.25, fold="false", bootstrap=0, keep_checkpoints="true"
    )
    assert glue(words) == 0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    results = read(tmp_path / "out" / "eval_results.json")
    assert recorded(model.config)["folded"] is False
    assert scaling_left(model.config).temperature == results["temperature"]
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    trained = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())


def test_halves(tiny_model, files, tmp_path):
    words = flags(tiny_model, files, tmp_path / "out", protocol="halves", seed=7, bootstrap=0)
    assert glue(words) == 0
    results = read(tmp_path / "out" / "eval_results.json")
    before, after = saved(tmp_path / "out", "calibration"), saved(tmp_path / "out", "validation")
    fitted = fit_halves(before.logits, before.labels, seed=7)  # type: ignore[arg-type]
    assert results["temperature"] == pytest.approx((fitted.first.value + fitted.second.value) / 2)
    assert results["calibration"]["temperatures"] == pytest.approx([fitted.first.value, fitted.second.value])
    assert after.logits == pytest.approx(fitted.apply(before.logits))
    # of halves of equal size the plain mean of both halves' scores is the score of all rows
    sides = [nll(after.logits[side], after.labels[side]) for side in (fitted.half, ~fitted.half)]  # type: ignore[index]
    assert results["eval_nll"] == pytest.approx(np.mean(sides), abs=1e-6)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert recorded(model.config)["temperature"] == results["temperature"]


def test_the_judged_rows_themselves_only_when_asked_and_then_the_table_says_so(tiny_model, files, tmp_path, capfd):
    same = flags(tiny_model, files, tmp_path / "no", calibration_file=files / "validation.csv")
    assert glue(same) == 2
    assert "--calibrate_on_eval" in capfd.readouterr().err
    assert not (tmp_path / "no").exists()
    assert glue(flags(tiny_model, files, tmp_path / "out", calibrate_on_eval="true", bootstrap=0)) == 0
    assert "fitted on these rows" in capfd.readouterr().out
    results = read(tmp_path / "out" / "eval_results.json")
    assert results["calibration"]["protocol"] == "eval"
    assert results["eval_nll"] <= results["eval_uncalibrated_nll"]


def test_a_file_of_its_own(tiny_model, files, tmp_path, capfd):
    pa.csv.write_csv(rows(60, 11), tmp_path / "more.csv")
    words = flags(tiny_model, files, tmp_path / "out", calibration_file=tmp_path / "more.csv", bootstrap=0)
    assert glue(words) == 0
    record = read(tmp_path / "out" / "run.json")
    assert record["data"]["calibration"]["split"] == "the file more.csv"
    assert record["data"]["train_rows"] == 48
    assert len(saved(tmp_path / "out", "calibration")) == 60


def test_a_temperature_kept_in_the_configuration_counts_when_nothing_is_trained(split_run, files, tmp_path, capfd):
    """`logitmix predict` divides by it, and so must what judges the same model."""
    model = AutoModelForSequenceClassification.from_pretrained(split_run)
    unfold(model)
    keep_in_config(model.config, 3.0)
    model.save_pretrained(tmp_path / "kept")
    AutoTokenizer.from_pretrained(split_run).save_pretrained(tmp_path / "kept")
    unchanged = tmp_path / "plain"
    forget(model.config)
    model.save_pretrained(unchanged)
    AutoTokenizer.from_pretrained(split_run).save_pretrained(unchanged)
    for name in ("plain", "kept"):
        words = flags(str(tmp_path / name), files, tmp_path / f"judged-{name}", do_train="false", bootstrap=0)
        assert glue(words) == 0
    told = capfd.readouterr().err
    assert told.count("The temperature 3 that the model's config.json keeps is applied.") == 1
    plain, kept = (saved(tmp_path / f"judged-{name}", "validation") for name in ("plain", "kept"))
    np.testing.assert_allclose(kept.logits, plain.logits / 3, rtol=1e-5)
    results = read(tmp_path / "judged-kept" / "eval_results.json")
    assert results["eval_nll"] == pytest.approx(nll(plain.logits / 3, plain.labels))
    assert results["eval_uncalibrated_loss"] == pytest.approx(nll(plain.logits, plain.labels), rel=1e-5)


def test_training_on_from_a_calibrated_model_forgets_its_temperature(split_run, files, tmp_path):
    assert glue(flags(str(split_run), files, tmp_path / "out", method="vanilla", bootstrap=0, max_steps=1)) == 0
    assert "logitmix" not in read(tmp_path / "out" / "config.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"calibration_split": 1.5}, "calibration_split must be"),
        ({"calibration_split": 0.1, "protocol": "halves"}, "--calibration_split and --protocol"),
        ({"calibration_file": "more.csv", "calibrate_on_eval": "true"}, "--calibration_file and --calibrate_on_eval"),
        ({"protocol": "thirds"}, "No protocol is called 'thirds'"),
        ({"protocol": "halves", "do_eval": "false"}, "--do_eval false"),
        ({"load_best_model_at_end": "true", "do_eval": "false"}, "--do_eval false"),
        ({"calibration_file": "missing.csv"}, "no file 'missing.csv'"),
        ({"calibration_split": 0.1, "train_file": None}, "--train_file"),
        ({"calibration_split": 0.1, "regression": "true"}, "is a regression"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(changes, words, tiny_model, files, tmp_path, capfd):
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 2
    error = capfd.readouterr().err.strip()
    assert words in error
    assert error.startswith("error:")
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_a_regression_that_only_the_data_shows(tiny_model, tmp_path, capfd):
    table = pa.table({"text": [f"good film {n}" for n in range(40)], "stars": [n / 7 for n in range(40)]})
    pa.csv.write_csv(table, tmp_path / "train.csv")
    words = flags(tiny_model, tmp_path, tmp_path / "out", validation_file=None, protocol="halves")
    assert glue(words) == 2
    assert "is a regression" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images(tmp_path):
    words = image_flags(tmp_path / "out", method="vanilla", calibration_split=0.25, bootstrap=0)
    assert vision(words) == 0
    record, results = read(tmp_path / "out" / "run.json"), read(tmp_path / "out" / "eval_results.json")
    assert (record["data"]["train_rows"], record["data"]["calibration"]["rows"]) == (48, 16)
    apart = saved(tmp_path / "out", "calibration")
    assert results["temperature"] == pytest.approx(fit_temperature(apart.logits, apart.labels).value)  # type: ignore[arg-type]
    again = [*image_flags(tmp_path / "again", dataset="digits", model=str(tmp_path / "out")), "--do_train", "false"]
    assert vision([*again, "--bootstrap", "0", "--method", "vanilla"]) == 0
    after = saved(tmp_path / "out", "validation")
    assert saved(tmp_path / "again", "validation").logits == pytest.approx(after.logits, abs=1e-4)


def test_a_split_of_images_is_the_same_in_memory_and_streamed():
    from logitmix_hf.vision.data import ImageRequest, load_image_data

    held = load_image_data(ImageRequest(dataset="digits", calibration_share=0.1, max_train_samples=100))
    streamed = load_image_data(
        ImageRequest(dataset="digits", calibration_share=0.1, max_train_samples=100, memory_limit=0)
    )
    for data in (held, streamed):
        assert data.calibration is not None
        assert len(data.calibration) == 10
        assert len(data.train) == 90
        assert not set(data.calibration.idx) & set(data.train.idx)
        assert list(data.splits) == ["train", "calibration", "validation"]
        batch = data.collator(None)([data.calibration[row] for row in range(10)])
        assert torch.equal(batch["labels"], data.calibration.labels)  # type: ignore[arg-type]
    assert np.array_equal(held.calibration.idx, streamed.calibration.idx)  # type: ignore[union-attr]
