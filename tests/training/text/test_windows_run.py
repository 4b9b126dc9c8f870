"""``--long_texts windows``: trained, judged, calibrated, predicted and joined by the pooled logits of a row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from calibraterun import read, saved
from pyarrow import csv as arrow_csv
from tinyrun import WORDS, flags
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from logitmix_hf.cli import main
from logitmix_hf.evaluation import fit_temperature
from logitmix_hf.models.tokenizer import encode
from logitmix_hf.serving import load_classifier


@pytest.fixture(scope="module")
def long_files(tmp_path_factory) -> Path:
    folder, draw = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    for name in ("train", "validation"):
        texts = [" ".join(draw.choice(WORDS, n)) for n in draw.integers(2, 30, 24)]
        labels = ["up" if n % 2 else "down" for n in range(24)]
        arrow_csv.write_csv(pa.table({"text": texts, "stars": labels}), folder / f"{name}.csv")
    return folder


@pytest.fixture(scope="module")
def run(tiny_model, long_files, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("windows") / "run"
    more = {"max_length": 12, "long_texts": "windows", "window_overlap": 3, "calibration_split": 0.3, "bootstrap": 0}
    assert main(["glue", *flags(tiny_model, long_files, folder, **more)]) == 0
    return folder


def pooled(model, tokenizer, text: str) -> np.ndarray:
    split = tokenizer([text], truncation=True, max_length=12, stride=3, return_overflowing_tokens=True, padding=True,
                      return_tensors="pt")  # fmt: skip
    split.pop("overflow_to_sample_mapping")
    return np.average(model(**split).logits.detach().numpy(), axis=0, weights=split["attention_mask"].sum(1).numpy())


def test_judged_and_predicted_are_the_pooled_logits_of_the_saved_model(run, long_files, tmp_path, capsys):
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    texts = arrow_csv.read_csv(long_files / "validation.csv")["text"].to_pylist()
    wanted = np.stack([pooled(model, tokenizer, text) for text in texts])
    assert saved(run, "validation").logits == pytest.approx(wanted, abs=1e-4)
    before, results = saved(run, "calibration"), read(run / "eval_results.json")
    assert results["temperature"] == pytest.approx(fit_temperature(before.logits, before.labels).value)  # type: ignore[arg-type]
    assert main(["predict", "--model", str(run), "--input", str(long_files / "validation.csv"), "--batch_size", "5",
                 "--device", "cpu", "--probabilities", "--output", str(tmp_path / "out.csv")]) == 0  # fmt: skip
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(24))
    odds = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
    assert [float(row["p_up"]) for row in rows] == pytest.approx(odds[:, 1].tolist(), abs=1e-5)


def test_what_was_split_is_told_and_stands_in_the_folder(run):
    config, record, data = (read(run / f"{name}.json") for name in ("config", "run", "data"))
    assert config["long_texts"]["max_length"] == 12
    assert config["long_texts"]["overlap"] == 3
    long = record["data"]["in_windows"]
    assert data["splits"]["validation"]["in_windows"] == long["validation"] > 0
    card = (run / "README.md").read_text()
    assert "overlapping windows" in card
    assert f"{long['validation']} of validation" in card


def test_a_calibrated_copy_and_a_plain_judgement_read_windows_as_the_model_was_trained(run, long_files, tmp_path):
    common = ["--model", str(run), "--validation_file", str(long_files / "validation.csv"), "--label_column", "stars",
              "--use_cpu", "true", "--bootstrap", "0", "--output_dir"]  # fmt: skip
    assert main(["calibrate", *common, str(tmp_path / "copy"), "--save", "--calibrate_on_eval"]) == 0
    assert read(tmp_path / "copy" / "config.json")["long_texts"] == read(run / "config.json")["long_texts"]
    assert main(["glue", *common, str(tmp_path / "again"), "--do_train", "false", "--max_length", "12"]) == 0
    assert saved(tmp_path / "again", "validation").logits == pytest.approx(saved(run, "validation").logits, abs=1e-5)


def test_members_answer_long_texts_as_one(run, tiny_model, long_files, tmp_path, capsys):
    more = {"max_length": 12, "bootstrap": 0, "max_steps": 2, "seed": 1}
    other = tmp_path / "other"
    windows = {"long_texts": "windows", "window_overlap": 3}
    assert main(["glue", *flags(tiny_model, long_files, other, **more, **windows)]) == 0
    assert main(["ensemble", str(run), str(other), "--output_dir", str(tmp_path / "both"), "--bootstrap", "0"]) == 0
    classifier = load_classifier(str(tmp_path / "both"), device="cpu")
    texts = arrow_csv.read_csv(long_files / "validation.csv")["text"].to_pylist()
    temperature = read(tmp_path / "both" / "eval_results.json")["temperature"]
    own = read(run / "eval_results.json")["temperature"]
    wanted = (saved(run, "validation").logits * own + saved(other, "validation").logits) / 2
    assert classifier.logits(texts) * temperature == pytest.approx(wanted, abs=1e-3)
    words = ["ensemble", str(run), str(other), "--average", "probs", "--output_dir", str(tmp_path / "p")]
    assert main(words) == 2
    assert "--average logits" in capsys.readouterr().err
    assert main(["glue", *flags(tiny_model, long_files, tmp_path / "cut", **more)]) == 0
    assert main(["ensemble", str(run), str(tmp_path / "cut"), "--output_dir", str(tmp_path / "q")]) == 2
    assert "cut, run in windows that share 3 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"long_texts": "both"}, "long_texts"),
        ({"window_overlap": 3}, "add --long_texts windows"),
        ({"long_texts": "windows", "window_overlap": 9, "max_length": 16}, "at most 8, got 9"),
        ({"long_texts": "windows", "torch_compile": "true"}, "leave one out"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_trained(tiny_model, long_files, tmp_path, capsys, more, told):
    assert main(["glue", *flags(tiny_model, long_files, tmp_path / "run", **more)]) == 2
    assert told in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_the_windows_of_a_row_that_fits_are_what_cutting_gives(tiny_model, long_files):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    from logitmix_hf.models.long_texts import Windows
    from logitmix_hf.models.windows import encode_windows

    texts = arrow_csv.read_csv(long_files / "train.csv")["text"].to_pylist()
    cut, long = encode(tokenizer, [texts], 12)
    split, several = encode_windows(tokenizer, [texts], Windows(12, 3))
    assert several == long
    for name, rows in split.items():
        assert [row[0] for row in rows] == cut[name]
        assert [len(row) > 1 for row in rows] == long
    assert json.dumps(split)  # plain numbers, as the cache of datasets keeps them
