"""Trainings with --calibrator: what is fitted is what the model holds, and both sides are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calibraterun import read, saved
from pyarrow import csv
from tinyrun import calibrated_run, flags, rows
from transformers import AutoModelForSequenceClassification, pipeline
from visionrun import flags as image_flags

from logitmix_hf.commands.ensemble import main as ensemble
from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.evaluation.recalibration import fit_vector_scaling
from logitmix_hf.models.folding import recorded
from logitmix_hf.reporting.comparison.runs import read_run
from logitmix_hf.reporting.comparison.temperature import temper
from logitmix_hf.serving import load_classifier


@pytest.fixture(scope="module")
def vector_run(tiny_model, files, tmp_path_factory) -> Path:
    return calibrated_run(tiny_model, files, tmp_path_factory.mktemp("vector") / "out", calibrator="vector")


def test_the_files_alone_give_every_number_before_and_after(vector_run):
    results, after = read(vector_run / "eval_results.json"), saved(vector_run, "validation")
    told, apart = results["calibration"], saved(vector_run, "calibration")
    fitted = fit_vector_scaling(apart.logits, apart.labels)  # type: ignore[arg-type]
    assert told["calibrator"] == "vector"
    assert told["scale"] == pytest.approx(fitted.scale)
    assert told["shift"] == pytest.approx(fitted.shift)
    assert "temperature" not in results
    before = Predictions((after.logits - fitted.shift) / fitted.scale, after.labels)
    for prefix, p in (("eval", after), ("eval_uncalibrated", before)):
        scores = evaluate_predictions(p)
        for name in ("accuracy", "ece", "nll", "brier"):
            assert results[f"{prefix}_{name}"] == pytest.approx(scores[name], abs=1e-5), (prefix, name)


def test_a_plain_pipeline_gives_the_probabilities_after_it(vector_run, files):
    texts = csv.read_csv(files / "validation.csv")["text"].to_pylist()[:6]
    classify: Any = pipeline("text-classification", model=str(vector_run), top_k=None)
    for text, probability in zip(texts, saved(vector_run, "validation").probabilities, strict=False):
        scores = {row["label"]: row["score"] for row in classify([text])[0]}
        assert [scores[name] for name in ("down", "up")] == pytest.approx(probability.tolist(), abs=1e-5)
    assert recorded(AutoModelForSequenceClassification.from_pretrained(vector_run).config)["folded"] is True


def test_a_report_and_an_ensemble_find_the_logits_before(vector_run, tmp_path, tiny_model, files):
    run, after = read_run(vector_run), saved(vector_run, "validation")
    tempered = temper(run, after)
    assert tempered is not None
    told = read(vector_run / "eval_results.json")["calibration"]
    assert tempered.before.logits * told["scale"] + told["shift"] == pytest.approx(after.logits, abs=1e-4)
    assert tempered.value is None
    other, both = tmp_path / "other", tmp_path / "both"
    assert glue(flags(tiny_model, files, other, seed=2, calibration_split=0.25, bootstrap=0)) == 0
    assert ensemble([str(vector_run), str(other), "--output_dir", str(both), "--bootstrap", "0"]) == 0
    other_t = read(other / "eval_results.json")["temperature"]
    mean = (tempered.before.logits + saved(other, "validation").logits * other_t) / 2
    texts = csv.read_csv(files / "validation.csv")["text"].to_pylist()[:6]
    given = load_classifier(str(both)).logits(texts)
    assert given == pytest.approx(mean[:6] / read(both / "eval_results.json")["temperature"], abs=1e-3)


def test_the_card_tells_both_sides(vector_run):
    card = (vector_run / "README.md").read_text()
    assert "## Temperature" not in card
    assert "| accuracy |" in card.lower().partition("## vector scaling")[2]


def test_kept_beside_the_weights(tiny_model, files, tmp_path):
    more = {"calibration_split": 0.5, "calibrator": "vector", "fold": "false", "bootstrap": 0}
    assert glue(flags(tiny_model, files, tmp_path / "out", **more)) == 0
    texts = csv.read_csv(files / "validation.csv")["text"].to_pylist()[:6]
    classifier = load_classifier(str(tmp_path / "out"))
    assert classifier.logits(texts) == pytest.approx(saved(tmp_path / "out", "validation").logits[:6], abs=1e-4)
    assert 'torch.tensor(vector["scale"])' in (tmp_path / "out" / "README.md").read_text()


def test_auto_says_both_numbers_and_takes_the_lower(tiny_model, files, tmp_path, capfd):
    csv.write_csv(rows(90, 11), tmp_path / "more.csv")
    more = {"calibration_file": tmp_path / "more.csv", "calibrator": "auto", "bootstrap": 0}
    assert glue(flags(tiny_model, files, tmp_path / "out", **more)) == 0
    told = read(tmp_path / "out" / "eval_results.json")["calibration"]
    one, other = (told["cross_validated_nll"][name] for name in ("temperature", "vector"))
    assert told["calibrator"] == ("vector" if other < one else "temperature")
    line = f"cross-validated NLL {one:.4f} with a temperature, {other:.4f} with vector scaling"
    assert line in capfd.readouterr().err
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{one:.4f} with a temperature and {other:.4f} with vector scaling" in card


def test_images(tmp_path):
    words = image_flags(tmp_path / "out", method="vanilla", calibration_split=0.5, bootstrap=0, calibrator="vector")
    assert vision(words) == 0
    again = image_flags(
        tmp_path / "again", dataset="digits", model=str(tmp_path / "out"), method="vanilla", bootstrap=0
    )
    assert vision([*again, "--do_train", "false"]) == 0
    after = saved(tmp_path / "out", "validation")
    assert saved(tmp_path / "again", "validation").logits == pytest.approx(after.logits, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"calibrator": "platt", "protocol": "halves"}, "No calibrator is called 'platt'"),
        ({"calibrator": "auto"}, "--calibration_split"),
    ],
)
def test_mistakes(changes, words, tiny_model, files, tmp_path, capfd):
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 2
    error = capfd.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()
