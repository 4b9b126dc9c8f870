"""``logitmix glue`` end to end on a tiny model: what a run leaves behind, and that it can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from drawing import drawn
from tinyrun import flags, rows
from transformers import AutoModelForSequenceClassification, pipeline

from logitmix_hf.commands.glue import main, parse
from logitmix_hf.evaluation import Predictions, review


@pytest.fixture(scope="module")
def finished(tiny_model, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    with drawn():
        code = main(
            flags(tiny_model, files, folder, test_file=files / "test.csv", do_predict="true", num_train_epochs=2)
        )
    assert code == 0
    return folder


def test_the_run_folder_holds_every_file(finished):
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    wanted = {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md", "run.json"),
        *("train_results.json", "eval_results.json", "all_results.json", "trainer_state.json"),
        *("predictions/validation.parquet", "predictions/test.parquet", "reliability.png", "training.png"),
    }
    assert wanted <= names
    assert not [name for name in names if name.startswith(".")]


def test_the_model_predicts_by_pipeline_what_the_run_recorded(finished, files):
    classify = pipeline("text-classification", model=str(finished), top_k=None)
    saved = Predictions.load(finished / "predictions" / "validation.parquet")
    texts = pa.csv.read_csv(files / "validation.csv")["text"].to_pylist()
    for text, probability in zip(texts, saved.probabilities, strict=True):
        scores = {row["label"]: row["score"] for row in classify([text])[0]}
        assert [scores[name] for name in ("down", "up")] == pytest.approx(probability.tolist(), abs=1e-4)


def test_every_number_is_recomputable_from_the_predictions_alone(finished):
    results = json.loads((finished / "eval_results.json").read_text())
    table = pq.read_table(finished / "predictions" / "validation.parquet")
    assert {"idx", "label", "prediction", "logits"} <= set(table.column_names)
    logits = np.array(table["logits"].to_pylist())
    labels = table["label"].to_numpy()
    p = torch.tensor(logits, dtype=torch.float64).softmax(1).numpy()
    by_hand = {
        "eval_accuracy": float((logits.argmax(1) == labels).mean()),
        "eval_nll": float(-np.log(p[np.arange(len(p)), labels]).mean()),
        "eval_brier": float(((p - np.eye(2)[labels]) ** 2).sum(1).mean()),
        "eval_confidence_gap": float(p.max(1).mean() - (p.argmax(1) == labels).mean()),
    }
    for name, value in by_hand.items():
        assert results[name] == pytest.approx(value, abs=1e-6)
    again = review(Predictions.load(finished / "predictions" / "validation.parquet"), ("accuracy",))
    assert {f"eval_{name}": value for name, value in again.items()}.items() <= results.items()
    intervals = json.loads((finished / "intervals.json").read_text())["eval"]
    assert all(low <= again[name] <= high for name, (low, high) in intervals.items())
    assert intervals.keys() == again.keys()
    assert results["eval_loss"] == pytest.approx(results["eval_nll"], rel=1e-4)


def test_the_record_says_how_the_run_came_about(finished, files):
    record = json.loads((finished / "run.json").read_text())
    assert record["status"] == "done"
    assert record["command"].startswith("logitmix glue --model")
    assert record["seeds"]["seed"] == 42
    assert record["arguments"]["alpha"] == 3.0
    assert record["method"] | {"name": "logitmix", "site": "layer.1", "w_sim": 1.0} == record["method"]
    assert record["data"]["train_rows"] == 48
    assert record["data"]["splits"] == {"eval": {"split": "validation", "rows": 24, "source": "validation.csv"}}
    assert record["seconds"] > 0
    assert record["peak_memory"]["process_mb"] > 0
    combined = json.loads((finished / "all_results.json").read_text())
    assert {"train_loss", "eval_accuracy", "eval_ece"} <= combined.keys()


def test_the_last_thing_on_stdout_is_the_table(tiny_model, files, tmp_path, capfd):
    assert main(flags(tiny_model, files, tmp_path / "out", method="vanilla")) == 0
    lines = capfd.readouterr().out.strip().splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("method"))
    assert [word in lines[head] for word in ("accuracy", "ECE", "OE", "NLL", "seconds")] == [True] * 5
    assert lines[head + 2].startswith("vanilla")
    assert len(lines) - head <= 6
    assert str(tmp_path / "out") in "\n".join(lines[head:])


def test_resume_ends_with_the_weights_of_a_run_never_stopped(tiny_model, files, tmp_path):
    whole = flags(tiny_model, files, tmp_path / "whole", num_train_epochs=2)
    assert main(whole) == 0
    stopped = flags(
        tiny_model, files, tmp_path / "stopped", num_train_epochs=2, save_total_limit=5, keep_checkpoints="true"
    )
    assert main(stopped) == 0
    # Back to the state after the first epoch, as if the machine had stopped in the second.
    for path in (tmp_path / "stopped").glob("checkpoint-12"):
        path.rename(tmp_path / "gone")
    assert main([*stopped, "--resume"]) == 0
    one = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole")
    other = AutoModelForSequenceClassification.from_pretrained(tmp_path / "stopped")
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_run_without_training_judges_the_model_as_it_is(finished, files, tmp_path):
    code = main(flags(str(finished), files, tmp_path / "out", do_train="false", method="vanilla"))
    assert code == 0
    before, after = (json.loads((d / "eval_results.json").read_text()) for d in (finished, tmp_path / "out"))
    assert after["eval_accuracy"] == before["eval_accuracy"]
    assert after["eval_ece"] == pytest.approx(before["eval_ece"], abs=1e-5)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(("task", "keys"), [("stsb", {"eval_spearmanr", "eval_pearson"}), ("rte", {"eval_accuracy"})])
def test_built_in_tasks(tiny_model, tmp_path, task, keys):
    values = {
        "train_file": None,
        "validation_file": None,
        "label_column": None,
        "task": task,
        "dataset_name": "builtin",
    }
    values |= {"max_train_samples": 24, "max_eval_samples": 16}
    assert main(flags(tiny_model, Path(), tmp_path / "out", **values)) == 0
    results = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert keys <= results.keys()
    assert ("eval_true_calibration_error" in results) == (task == "rte")
    assert ("eval_ece" in results) == (task == "rte")


def test_real_values_are_a_regression_and_lists_are_several_labels(tiny_model, tmp_path):
    texts = rows(32, 0)["text"].to_pylist()
    with open(tmp_path / "several.jsonl", "w") as file:
        for number, text in enumerate(texts):
            labels = [name for name, word in (("nice", "good"), ("food", "meal")) if word in text or number < 2]
            file.write(json.dumps({"text": text, "label": labels}) + "\n")
    with open(tmp_path / "values.jsonl", "w") as file:
        for text in texts:
            file.write(json.dumps({"text": text, "label": len(text) / 7}) + "\n")
    for name, key in (("several", "eval_f1_micro"), ("values", "eval_pearson")):
        changes = {"train_file": tmp_path / f"{name}.jsonl", "validation_file": None, "label_column": None}
        assert main(flags(tiny_model, tmp_path, tmp_path / name, **changes)) == 0
        assert key in json.loads((tmp_path / name / "eval_results.json").read_text())


def test_recipes_stand_before_the_users_flags():
    base = ["--task", "rte", "--recipe", "mixup_transformer"]
    run = parse(base)
    assert (run.mix.method, run.mix.site, run.mix.lam) == ("mixup", "pooled", 0.5)
    assert parse([*base, "--lam", "0.3", "--site", "cls"]).mix.filled().site == "cls"
    official = parse(["--task", "rte", "--recipe", "logitmix_bert_official"])
    assert official.mix.weights == {"mix": 0.5, "cls": 0.5, "sim": 0.5, "agree": 0}
    assert official.training.learning_rate == 1e-5
    paper = parse(["--recipe", "paper", "--task", "rte"]).mix
    assert (paper.sim_form, paper.cls_sum) == ("l2", True)


def test_names_of_hugging_face_are_accepted_beside_ours():
    run = parse(["--task_name", "rte", "--model_name_or_path", "x/y", "--max_seq_length", "64", "--seed", "3"])
    assert (run.data.task, run.model.model, run.data.max_length) == ("rte", "x/y", 64)
    assert run.training.output_dir == "runs/rte-y-logitmix-s3"
