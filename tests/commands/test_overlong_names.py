"""A name that no file system or library takes, and a link that leads nowhere, are mistakes, told in one line by every
command before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from servingmodels import text_classifier
from tinyrun import flags
from visionrun import flags as image_flags

from logitmix_hf.cli import main

LONG = ["x" * 256, "é" * 128, "x" * 300 + "/deeper", "/".join(["deep" * 20] * 60)]


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    return str(text_classifier(tmp_path_factory.mktemp("classifier"), tiny_model, names=("up", "down")))


@pytest.mark.parametrize("name", LONG, ids=["ascii", "utf-8", "parent", "path"])
@pytest.mark.parametrize(
    "command", ["glue", "vision", "calibrate", "report", "predict", "export", "card", "push", "resume"]
)
def test_one_line_and_2(command, name, model, files, tmp_path, capsys):
    place = tmp_path / name
    argv = {
        "glue": ["glue", *flags(model, files, place)],
        "vision": ["vision", *image_flags(place)],
        "calibrate": ["calibrate", "--model", model, "--validation_file", files / "validation.csv", "--label_column", "stars",
                      "--use_cpu", "true", "--output_dir", place],
        "report": ["report", tmp_path, "--output_dir", place],
        "predict": ["predict", "--model", model, "--input", files / "test.csv", "--output", place.with_suffix(".csv")],
        "export": ["export", model, "--output", place],
        "card": ["card", place],
        "push": ["push", place],
        "resume": ["glue", *flags(model, files, place), "--resume"],
    }[command]  # fmt: skip
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flag", ["model", "train_file", "dataset_name", "dataset", "calibration_file", "recipe", "input"]
)
def test_a_name_that_is_read_too(flag, model, files, tmp_path, capsys):
    if flag == "dataset":
        argv = ["vision", *image_flags(tmp_path / "out", dataset="x" * 5000)]
    elif flag == "input":
        argv = ["predict", "--model", model, "--input", "x" * 5000, "--output", tmp_path / "out"]
    else:
        where = {"train_file": None, "validation_file": None, "label_column": None} if flag == "dataset_name" else {}
        argv = [
            "glue",
            *flags(**{"model": model, "files": files, "output": tmp_path / "out", **where, flag: "x" * 5000}),
        ]
    assert main([str(word) for word in argv]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert len(error) < 1200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["vision", "export"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_computed(command, model, tmp_path, capsys):
    argv = {"vision": ["vision", *image_flags("PLACE")], "export": ["export", model, "--output", "PLACE"]}[command]
    (tmp_path / "dead").symlink_to("nowhere")
    for name, words in (("dead", "a link that leads nowhere"), (os.fsdecode(b"run\xff"), "not UTF-8")):
        assert main([str(tmp_path / name) if word == "PLACE" else str(word) for word in argv]) == 2
        assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dead"]


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "é" * 125 + ".csv", "語" * 83 + ".csv"])
def test_the_longest_name_there_can_be_is_written(name, model, files, tmp_path):
    output = Path(tmp_path / name)
    assert main(["predict", "--model", model, "--input", str(files / "test.csv"), "--output", str(output)]) == 0
    assert len(output.read_text().splitlines()) == 11
