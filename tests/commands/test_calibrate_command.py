"""``logitmix calibrate``: classifiers of texts and images that somebody else trained, judged and calibrated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pytest
import torch
from calibraterun import calibrate, read, saved
from tiny import CONFIGS, build
from tinyrun import rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from logitmix_hf.commands.untrained import known_rows
from logitmix_hf.evaluation import fit_halves, fit_temperature
from logitmix_hf.models.folding import recorded, unfold


def classifier(tiny_model: str, folder: Path, names: tuple[str, ...], **changes: Any) -> Path:
    """Somebody's sentence classifier, sure of itself."""
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    model = build(CONFIGS["bert"], num_labels=len(names), **labels, **changes)
    with torch.no_grad():
        model.classifier.weight.mul_(-4)  # type: ignore[union-attr,operator]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def foreign(tiny_model, tmp_path_factory) -> Path:
    return classifier(tiny_model, tmp_path_factory.mktemp("foreign"), ("Up!", "DOWN"))


@pytest.fixture(scope="module")
def rated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rated")
    for name, count, seed in (("eval", 60, 5), ("apart", 55, 6)):
        pa.csv.write_csv(rows(count, seed), folder / f"{name}.csv")
    return folder


def test_a_text_classifier_by_halves(foreign, rated, tmp_path, capfd):
    out = tmp_path / "out"
    code = calibrate(
        "--model", foreign, "--eval_file", rated / "eval.csv", "--label_column", "stars", "--output_dir", out, "--save",
    )  # fmt: skip
    assert code == 0
    results, table = read(out / "eval_results.json"), capfd.readouterr().out
    # labels were matched by name: the data's order would be DOWN, Up!
    before = saved(out, "calibration")
    assert before.label_names == ("Up!", "DOWN")
    stars = pa.csv.read_csv(rated / "eval.csv")["stars"].to_pylist()
    assert before.labels is not None
    assert [before.label_names[label] for label in before.labels] == [
        {"up": "Up!", "down": "DOWN"}[one] for one in stars
    ]
    fitted = fit_halves(before.logits, before.labels, seed=42)
    assert results["temperature"] == pytest.approx(fitted.value)
    assert results["temperature"] > 1
    assert results["eval_nll"] < results["eval_uncalibrated_nll"]
    assert results["calibration"]["protocol"] == "halves"
    # no temperature of two classes changes which rows are surest; two of them, a half each, must not seem to
    assert fitted.first.value != pytest.approx(fitted.second.value, rel=1e-3)
    for name in ("aurc", "accuracy_at_80"):
        assert results[f"eval_{name}"] == pytest.approx(results[f"eval_uncalibrated_{name}"], abs=1e-9), name
    for name in ("uncalibrated", f"T = {fitted.value:.3g}", "vector", "platt", "isotonic"):
        assert f"\n{name} " in table
    # the copy: plain probabilities are those of the first model's logits divided by T
    text = pa.csv.read_csv(rated / "eval.csv")["text"].to_pylist()[0]
    plain: Any = pipeline("text-classification", model=str(out), top_k=None)
    (scores,) = plain([text])
    expected = torch.tensor(before.logits[0] / fitted.value).softmax(0)
    assert {row["label"]: row["score"] for row in scores} == pytest.approx(
        dict(zip(before.label_names, expected.tolist(), strict=True)), abs=1e-5
    )
    again = AutoModelForSequenceClassification.from_pretrained(out)
    assert recorded(again.config)["temperature"] == results["temperature"]
    unfold(again)
    first = AutoModelForSequenceClassification.from_pretrained(foreign)
    for name, value in first.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, rtol=1e-6, atol=0), name


def test_without_save_no_model_is_written(foreign, rated, tmp_path):
    words = ("--model", foreign, "--eval_file", rated / "eval.csv", "--label_column", "stars")
    own = ("--calibration_file", rated / "apart.csv", "--output_dir", tmp_path / "out")
    assert calibrate(*words, *own) == 0
    assert not list((tmp_path / "out").glob("*.safetensors"))
    results, apart = read(tmp_path / "out" / "eval_results.json"), saved(tmp_path / "out", "calibration")
    assert len(apart) == results["calibration"]["rows"] == 55
    assert results["temperature"] == pytest.approx(fit_temperature(apart.logits, apart.labels).value)  # type: ignore[arg-type]
    assert results["calibration"]["split"] == "the file apart.csv"


def test_a_calibrated_copy_calibrated_again_holds_the_product(foreign, rated, tmp_path):
    model = foreign
    for name in ("one", "two"):
        words = ("--model", model, "--eval_file", rated / "eval.csv", "--label_column", "stars")
        assert calibrate(*words, "--save", "--calibrate_on_eval", "--output_dir", tmp_path / name) == 0
        model = tmp_path / name
    first, second = (read(tmp_path / name / "eval_results.json")["temperature"] for name in ("one", "two"))
    assert second == pytest.approx(1, abs=1e-4)
    config = read(tmp_path / "two" / "config.json")["logitmix"]
    assert config["temperature"] == pytest.approx(first * second)
    assert config["folded"] is True


def test_a_data_set_that_has_a_test_split_alone_is_judged_on_it(foreign, tmp_path):
    from pyarrow import parquet

    for split, seed in (("train", 1), ("test", 2)):
        parquet.write_table(rows(60, seed), tmp_path / f"{split}-00000-of-00001.parquet")
    words = ("--model", foreign, "--dataset_name", tmp_path, "--label_column", "stars", "--text_columns", "text")
    assert calibrate(*words, "--output_dir", tmp_path / "out") == 0
    assert read(tmp_path / "out" / "run.json")["data"]["splits"] == {
        "eval": {"split": "test", "rows": 60, "source": "test"}
    }


def test_a_data_set_of_one_split_is_judged_whatever_the_split_is_called(foreign, tmp_path, capfd):
    """The Hub calls the split of rows that nobody divided train."""
    from pyarrow import parquet

    parquet.write_table(rows(60, 1), tmp_path / "train-00000-of-00001.parquet")
    words = ("--model", foreign, "--dataset_name", tmp_path, "--label_column", "stars", "--text_columns", "text")
    assert calibrate(*words, "--output_dir", tmp_path / "out") == 0
    data = read(tmp_path / "out" / "run.json")["data"]
    assert data["splits"] == {"eval": {"split": "validation", "rows": 60, "source": "train"}}
    assert (data["validation"], data["train_rows"]) == ("the split train", 0)
    assert capfd.readouterr().err.count("The split train is judged, for want of another") == 1


def test_rows_of_one_class_are_enough_where_nothing_is_learnt(foreign, tmp_path, capfd):
    table = rows(80, 4)
    pa.csv.write_csv(table.filter(pa.compute.field("stars") == "up"), tmp_path / "up.csv")
    words = ("--model", foreign, "--eval_file", tmp_path / "up.csv", "--label_column", "stars")
    assert calibrate(*words, "--output_dir", tmp_path / "out") == 0
    judged = saved(tmp_path / "out", "validation")
    assert judged.label_names == ("Up!", "DOWN")
    assert set(judged.labels.tolist()) == {0}  # type: ignore[union-attr]
    assert "All 46 rows that the calibration is fitted on" in capfd.readouterr().err


def test_train_is_not_prepared_where_nothing_is_trained(foreign, rated, tmp_path):
    data = ("--train_file", rated / "apart.csv", "--eval_file", rated / "eval.csv", "--label_column", "stars")
    assert calibrate("--model", foreign, *data, "--output_dir", tmp_path / "out") == 0
    assert read(tmp_path / "out" / "run.json")["data"]["train_rows"] == 0
    apart = ("--calibration_split", "0.5", "--output_dir", tmp_path / "split")
    assert calibrate("--model", foreign, *data, *apart) == 0
    assert 26 <= len(saved(tmp_path / "split", "calibration")) <= 29  # of 55
    assert read(tmp_path / "split" / "run.json")["data"]["train_rows"] == 0


def test_a_copy_of_a_model_without_names_answers_with_those_of_the_data(tiny_model, rated, tmp_path, capfd):
    unnamed = classifier(tiny_model, tmp_path / "unnamed", ("LABEL_0", "LABEL_1"))
    data = ("--eval_file", rated / "eval.csv", "--label_column", "stars", "--save", "true")
    assert calibrate("--model", unnamed, *data, "--output_dir", tmp_path / "out") == 0
    assert "does not name its classes" in capfd.readouterr().err
    config = read(tmp_path / "out" / "config.json")
    assert config["id2label"] == {"0": "down", "1": "up"}
    assert config["label2id"] == {"down": 0, "up": 1}
    assert "down" not in (unnamed / "config.json").read_text()


def test_mistakes(foreign, tiny_model, rated, tmp_path, capfd):
    regression = classifier(tiny_model, tmp_path / "regression", ("value",), problem_type="regression")
    colours = classifier(tiny_model, tmp_path / "colours", ("red", "blue"))
    three = classifier(tiny_model, tmp_path / "three", ("LABEL_0", "LABEL_1", "LABEL_2"))
    data = ("--eval_file", rated / "eval.csv", "--label_column", "stars", "--output_dir", tmp_path / "out")
    for words, told in [
        (("--model", regression, *data), "is a regression"),
        (("--model", colours, *data), "'red', 'blue', the data 'down', 'up': they do not match by name"),
        (("--model", three, *data), "do not match by name"),
        (("--model", tiny_model, *data), "no classifier"),
        (("--model", "./missing", *data), "no folder"),
        (data, "needs a --model"),
        (("--model", "", *data), "--model is empty"),
        ((*data, "--model", "--save"), "expected one argument"),
        (("--model", Path(foreign) / "config.json", *data), "is a file; give the folder"),
        (("--model", foreign, "--do_train", *data), "trains nothing"),
        (("--model", foreign, "--output_dir", tmp_path / "out"), "or --validation_file to judge a model on"),
        (
            ("--model", foreign, "--task", "stsb", "--dataset_name", "builtin", "--output_dir", tmp_path / "out"),
            "regression",
        ),
        (("--model", foreign, "--calibration_file", rated / "eval.csv", *data), "holds no row that is not judged too"),
    ]:
        assert calibrate(*words) == 2, words
        error = capfd.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error:"), error
        assert told in error, error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("trained", "given", "note", "told"),
    [
        (
            {"train_file": "a.csv"},
            {"validation_file": "./a.csv"},
            "the file a.csv",
            "trained on --validation_file ./a.csv",
        ),
        ({"train_file": "a.csv"}, {"validation_file": "b.csv"}, "the file b.csv", ""),
        ({"train_file": "a.csv"}, {"calibration_file": "a.csv"}, "", "trained on --calibration_file a.csv"),
        ({"train_file": "gone.csv"}, {"validation_file": "gone.csv"}, "the file gone.csv", ""),
        ({"dataset": "pets"}, {"dataset": "pets/"}, "the folder pets", "trained on --dataset pets/"),
        ({"dataset": "pets"}, {"dataset": "pets"}, "the folder val", ""),
        ({}, {"dataset_name": "org/x"}, "the split train", "The split train is judged, for want of another"),
        ({}, {"dataset_name": "org/x"}, "the split test", ""),
    ],
)
def test_rows_that_the_model_knows_are_told(trained, given, note, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x")
    said = known_rows(trained, given, note)
    assert told in said
    assert bool(told) == bool(said)
