"""Every validation split is judged, under its own prefix and by the name that its rows have where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import yaml
from calibraterun import read
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image
from tinyrun import flags, rows
from visionrun import flags as image_flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.data.roles import HELD_OUT, name_judged, name_tested
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.reporting.comparison.grouping import group
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.text.data import TextRequest, load_text_data
from logitmix_hf.text.tasks import TASKS


def index_of(folder: Path) -> list[dict[str, Any]]:
    """The results in the metadata of a card."""
    metadata = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    return metadata["model-index"][0]["results"]


@pytest.fixture(scope="module")
def several(tmp_path_factory, tiny_model, files) -> Path:
    """A run on a data set with three validation splits."""
    home = tmp_path_factory.mktemp("several")
    (home / "shops" / "data").mkdir(parents=True)
    for number, (split, count) in enumerate(
        {"train": 32, "validation_books": 11, "validation_food": 13, "validation_toys": 12}.items()
    ):
        table = rows(count, number)
        pa.parquet.write_table(table, home / "shops" / "data" / f"{split}-00000-of-00001.parquet")
    changes = {"train_file": None, "validation_file": None, "dataset_name": home / "shops", "text_columns": "text"}
    assert glue(flags(tiny_model, files, home / "out", **changes, protocol="halves", bootstrap=100)) == 0
    return home / "out"


PREFIXES = {
    "eval": ("validation_books", 11),
    "eval_validation_food": ("validation_food", 13),
    "eval_validation_toys": ("validation_toys", 12),
}


def test_each_of_three_splits_has_its_scores_and_its_predictions(several):
    results, record = read(several / "eval_results.json"), read(several / "run.json")
    assert record["data"]["splits"] == {
        prefix: {"split": name, "rows": count, "source": name} for prefix, (name, count) in PREFIXES.items()
    }
    for prefix, (name, count) in PREFIXES.items():
        saved = Predictions.load(several / "predictions" / f"{name}.parquet")
        assert len(saved) == results[f"{prefix}_samples"] == count
        for score, value in evaluate_predictions(saved, ["accuracy"]).items():
            assert results[f"{prefix}_{score}"] == pytest.approx(value, abs=1e-9)
        assert f"{prefix}_uncalibrated_ece" in results
    assert not [key for key in results if key.startswith("eval_mm")]
    ends = read(several / "intervals.json")
    assert {key for key in ends if key.startswith("eval") and "uncalibrated" not in key} == set(PREFIXES)


def test_each_of_three_splits_is_in_card_and_report(several):
    accuracies = {one["dataset"]["split"] for one in index_of(several) if one["metrics"][0]["type"] == "accuracy"}
    assert accuracies == {name for name, _ in PREFIXES.values()}
    rows = [line for line in (several / "README.md").read_text().splitlines() if "| accuracy " in line.lower()]
    assert all(any(name in row.replace("\\", "") for row in rows) for name, _ in PREFIXES.values())
    tasks = group(find_runs([several]).runs)
    assert [(task.title, task.prefix, task.rows) for task in tasks] == [
        (f"shops · {name}", prefix, count) for prefix, (name, count) in PREFIXES.items()
    ]


def test_the_last_table_has_a_row_for_each_split(several, tmp_path, capfd):
    shops = several.parent / "shops"
    words = ["--model", several, "--dataset_name", shops, "--do_train", "false", "--label_column", "stars"]
    words += ["--output_dir", tmp_path / "again", "--max_length", 32, "--use_cpu", "true", "--method", "vanilla"]
    assert glue([str(word) for word in words]) == 0
    out = capfd.readouterr().out
    assert all(f"vanilla, {name}" in out for name, _ in PREFIXES.values())


def test_several_splits_of_images_are_judged_too(tmp_path):
    """The first of them alone was, and the others were passed over without a word."""
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["dark", "light"])})
    (tmp_path / "sky" / "data").mkdir(parents=True)
    for split, count in {"train": 16, "validation_day": 6, "validation_night": 4}.items():
        pictures = [Image.new("L", (8, 8), 40 + 150 * (row % 2) + row) for row in range(count)]
        made = Dataset.from_dict({"image": pictures, "label": [row % 2 for row in range(count)]}, features=features)
        made.to_parquet(tmp_path / "sky" / "data" / f"{split}-00000-of-00001.parquet")
    changes = {"dataset": tmp_path / "sky", "max_train_samples": None, "max_steps": 1, "cache_dir": tmp_path / "cache"}
    assert vision(image_flags(tmp_path / "out", **changes, per_device_train_batch_size=8)) == 0
    splits = read(tmp_path / "out" / "run.json")["data"]["splits"]
    assert {prefix: (one["split"], one["rows"]) for prefix, one in splits.items()} == {
        "eval": ("validation_day", 6),
        "eval_validation_night": ("validation_night", 4),
    }
    results = read(tmp_path / "out" / "eval_results.json")
    assert (results["eval_samples"], results["eval_validation_night_samples"]) == (6, 4)


@pytest.mark.parametrize("task", ["sst2", "rte", "cola", "stsb"])
def test_built_in_tasks_have_a_validation_split(task):
    data = load_text_data(TextRequest(task=task, dataset_name="builtin"))
    assert [(one.prefix, one.source) for one in data.judged] == [("eval", "validation")]


def test_mnli_keeps_the_word_it_has():
    prefixes = [one.prefix for one in name_judged(TASKS["mnli"].validation, TASKS["mnli"].prefixes)]
    assert prefixes == ["eval", "eval_mm"]


# --- what was judged, by its own name ---------------------------------------------------------------------------------


def test_a_card_names_the_file_that_was_judged(tiny_model, files, tmp_path):
    pa.csv.write_csv(rows(24, 5), tmp_path / "second_half_2024.csv")
    changes = {"validation_file": tmp_path / "second_half_2024.csv", "max_steps": 2, "bootstrap": 0}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 0
    judged = {(one["dataset"]["name"], one["dataset"]["split"]) for one in index_of(tmp_path / "out")}
    assert judged == {("second_half_2024.csv", "validation")}
    assert read(tmp_path / "out" / "run.json")["data"]["splits"]["eval"]["source"] == "second_half_2024.csv"
    assert [task.title for task in group(find_runs([tmp_path / "out"]).runs)] == ["train · second_half_2024.csv"]


def test_rows_held_out_of_train_are_called_that(tiny_model, files, tmp_path):
    changes = {"validation_file": None, "validation_share": 0.25, "max_steps": 2, "bootstrap": 0}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 0
    data = {json.dumps(one["dataset"], sort_keys=True) for one in index_of(tmp_path / "out")}
    assert len(data) == 1
    (told,) = map(json.loads, data)
    assert (told["name"], told["split"]) == ("train.csv", "train")
    assert told["args"] == {"rows": "a stratified 0.25 share of train (12 rows), seed 42"}
    assert read(tmp_path / "out" / "run.json")["data"]["splits"]["eval"]["source"] == HELD_OUT


@pytest.mark.parametrize(("inner", "share", "expected"), [("val", 0.1, "val"), ("testing", 0, "testing")])
def test_the_folder_of_images_that_was_judged(tmp_path, inner, share, expected):
    """``--validation_share 0`` without validation images judges those of test."""
    for split in ("train", inner):
        for number, name in enumerate(("dark", "light")):
            (tmp_path / "sky" / split / name).mkdir(parents=True)
            for row in range(4):
                Image.new("L", (8, 8), 150 * number + row).save(tmp_path / "sky" / split / name / f"{row}.png")
    changes = {"dataset": tmp_path / "sky", "max_train_samples": None, "max_steps": 1, "cache_dir": tmp_path / "cache"}
    words = image_flags(tmp_path / "out", **changes, per_device_train_batch_size=8, validation_share=share)
    assert vision(words) == 0
    split = read(tmp_path / "out" / "run.json")["data"]["splits"]
    assert [(prefix, one["source"]) for prefix, one in split.items()] == [("eval", expected)]
    assert {one["dataset"]["split"] for one in index_of(tmp_path / "out")} == {expected}


# --- the test split ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tested(tmp_path_factory, tiny_model, files) -> Path:
    """A run with a labelled test file, which no other flag asks to be looked at."""
    home = tmp_path_factory.mktemp("tested")
    pa.csv.write_csv(rows(17, 9), home / "kept_back.csv")
    changes = {"test_file": home / "kept_back.csv", "calibration_split": 0.25, "bootstrap": 100}
    assert glue(flags(tiny_model, files, home / "out", **changes)) == 0
    return home / "out"


def test_a_labelled_test_file_is_judged_once_at_the_end(tested):
    results, every = read(tested / "test_results.json"), read(tested / "all_results.json")
    saved = Predictions.load(tested / "predictions" / "test.parquet")
    for score, value in evaluate_predictions(saved, ["accuracy"]).items():
        assert results[f"test_{score}"] == pytest.approx(value, abs=1e-9)
    assert results["test_samples"] == 17
    assert results.items() <= every.items()
    assert not [key for key in read(tested / "eval_results.json") if key.startswith("test")]
    assert "test_uncalibrated_ece" in results
    assert {"eval", "test"} <= read(tested / "intervals.json").keys()
    expected = {"split": "test", "rows": 17, "source": "kept_back.csv", "test": True}
    assert read(tested / "run.json")["data"]["splits"]["test"] == expected


def test_card_and_report_tell_what_chose_from_what_did_not(tested):
    card = (tested / "README.md").read_text()
    assert "**Nothing was chosen on kept" in card
    judged = {(one["dataset"]["name"], one["dataset"]["split"]) for one in index_of(tested)}
    assert judged == {("validation.csv", "validation"), ("kept_back.csv", "test")}
    tasks = group(find_runs([tested]).runs)
    assert [(task.title, task.prefix) for task in tasks] == [
        ("train · validation.csv", "eval"),
        ("train · kept_back.csv", "test"),
    ]


def test_a_test_file_without_labels_is_predicted_and_no_more(tiny_model, files, tmp_path):
    changes = {"test_file": files / "test.csv", "max_steps": 2, "bootstrap": 0}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 0
    assert Predictions.load(tmp_path / "out" / "predictions" / "test.parquet").labels is None
    assert not (tmp_path / "out" / "test_results.json").exists()
    assert read(tmp_path / "out" / "run.json")["data"]["splits"].keys() == {"eval"}
    assert "Nothing was chosen" not in (tmp_path / "out" / "README.md").read_text()


def test_the_test_split_of_images_is_judged_where_it_is_asked_for(tmp_path, capfd):
    changes = {"max_steps": 1, "do_predict": "true", "method": "vanilla", "bootstrap": 0}
    assert vision(image_flags(tmp_path / "out", **changes)) == 0
    results = read(tmp_path / "out" / "test_results.json")
    saved = Predictions.load(tmp_path / "out" / "predictions" / "test.parquet")
    assert results["test_accuracy"] == pytest.approx((saved.predictions == saved.labels).mean())
    out = capfd.readouterr().out
    assert "vanilla, validation" in out
    assert "vanilla, test" in out


def test_a_test_split_is_judged_without_validation(tiny_model, files, tmp_path, capfd):
    pa.csv.write_csv(rows(17, 9), tmp_path / "kept_back.csv")
    changes = {"test_file": tmp_path / "kept_back.csv", "max_steps": 2, "do_eval": "false"}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes, bootstrap=0)) == 0
    assert "test_accuracy" in read(tmp_path / "out" / "all_results.json")
    assert not (tmp_path / "out" / "eval_results.json").exists()
    lines = capfd.readouterr().out.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("method") and "accuracy" in line]
    assert str(tmp_path / "out") in "\n".join(lines[head:])


def test_a_run_that_judges_nothing_says_where_it_lies(tiny_model, files, tmp_path, capfd):
    """And trains on every row: nobody would look at a share that is held out."""
    changes = {"max_steps": 1, "do_eval": "false", "save_strategy": "no", "report_to": "none", "validation_file": None}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 0
    assert read(tmp_path / "out" / "run.json")["data"]["train_rows"] == 48
    assert capfd.readouterr().out.splitlines()[-1] == f"folder: {tmp_path / 'out'}"
    assert not (tmp_path / "out" / "eval_results.json").exists()
    assert "eval_loss" not in (tmp_path / "out" / "trainer_state.json").read_text()


def test_names_of_several_test_splits():
    named = name_tested({"test_matched": "test_matched", "test_mismatched": "test_mismatched", "b": "b"})
    assert [one.prefix for one in named] == ["test", "test_mismatched", "test_b"]
    assert all(one.test for one in named)
