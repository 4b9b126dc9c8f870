"""Runs whose classes are weighed by their counts or by name, of texts and of images."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv as csv
import pytest
from test_done_runs import digits
from tinyrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision


@pytest.fixture
def skewed(tmp_path):
    """Nine rows of one class, three of the other."""
    stars = ["up"] * 9 + ["down"] * 3
    table = pa.table({"text": ["good film", "bad meal", "very poor"] * 4, "stars": stars})
    for name in ("train", "validation"):
        csv.write_csv(table, tmp_path / f"{name}.csv")
    return tmp_path


def losses(folder):
    return [
        line["loss"]
        for line in json.loads((folder / "trainer_state.json").read_text())["log_history"]
        if "loss" in line
    ]


def test_texts_by_counts_by_name_and_by_number_are_one(tiny_model, skewed, tmp_path, capfd):
    """By hand: 12 / (2 x 3) and 12 / (2 x 9)."""
    ends = []
    for number, asked in enumerate(("balanced", "up=.6666666667,down=2", "2 .6666666667")):
        argv = flags(tiny_model, skewed, tmp_path / str(number), method="vanilla", bootstrap=0)
        assert glue([*argv, "--class_weights", *asked.split()]) == 0
        ends.append(losses(tmp_path / str(number)))
        told = capfd.readouterr().err
        assert ("class weights: 'down' 2, 'up' 0.6667" in told) == (number < 2)
        assert glue([*argv, "--class_weights", *asked.split(), "--resume"]) == 0
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
    assert ends[0] == pytest.approx(ends[2], rel=1e-5)
    plain = flags(tiny_model, skewed, tmp_path / "plain", method="vanilla", bootstrap=0)
    assert glue(plain) == 0
    assert losses(tmp_path / "plain") != pytest.approx(ends[0], rel=1e-3)
    capfd.readouterr()
    assert glue([*plain, "--class_weights", "dwon=2", "--overwrite"]) == 2
    assert "No class for class_weights is called 'dwon'. Did you mean 'down'?" in capfd.readouterr().err


def test_several_labels(tiny_model, tmp_path, capfd):
    rows = [["a"], ["b"], ["b"], ["a", "b"], ["b"]] * 2
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps({"text": "good film", "stars": row}) for row in rows))
    (tmp_path / "validation.jsonl").write_text((tmp_path / "train.jsonl").read_text())
    argv = flags(
        tiny_model, tmp_path, tmp_path / "out", train_file=tmp_path / "train.jsonl",
        validation_file=tmp_path / "validation.jsonl", method="vanilla", bootstrap=0,
    )  # fmt: skip
    assert glue([*argv, "--class_weights", "balanced"]) == 0
    assert "class weights: 'a' 1.5, 'b' 0.25" in capfd.readouterr().err


def test_images(tmp_path, capfd):
    assert vision(digits(tmp_path / "out", max_steps=2, class_weights="balanced")) == 0
    told = capfd.readouterr().err
    assert told.count("class weights: '0' ") == 1
    assert vision([*digits(tmp_path / "named", max_steps=2), "--class_weights", "3=2", "9=0"]) == 0
    assert "'3' 2, '4' 1" in capfd.readouterr().err


def test_a_regression_has_no_classes(tiny_model, skewed, tmp_path, capfd):
    (skewed / "train.csv").write_text("text,stars\n" + "".join(f"good film,{n}.5\n" for n in range(8)))
    (skewed / "validation.csv").write_text((skewed / "train.csv").read_text())
    argv = flags(tiny_model, skewed, tmp_path / "out", method="vanilla", class_weights="balanced")
    assert glue(argv) == 2
    assert "--class_weights needs classes" in capfd.readouterr().err
