"""``logitmix check``: what a training would read, told and counted, with nothing trained."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from logitmix_hf.cli import main


@pytest.fixture
def reviews(tmp_path):
    rows = [(f"text {n}", "good" if n % 2 else "bad") for n in range(40)]
    rows += [("Text 3", "bad"), ("text  5 ", "good"), ('""', "Good"), (" ", "bad")]
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    with (tmp_path / "dev.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), ("TEXT 7", "good"), ("other", "bad")])
    return tmp_path


def test_texts_are_counted_and_nothing_is_written_but_what_was_asked_for(reviews, capsys, monkeypatch):
    monkeypatch.chdir(reviews)
    argv = ["check", "--train_file", "train.csv", "--validation_file", "dev.csv", "--output", "facts.json"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "rows: train 44, validation 2" in out
    assert "'bad' 22, 'good' 21" in out
    assert "1 empty text" in out
    assert "2 of the 44 rows of train repeat another" in out  # by case, by white space
    assert "2 rows of train stand there again with another label" in out
    assert "1 of the 2 rows of validation is in train too" in out
    assert "'Good' and 'good'" in out
    facts = json.loads((reviews / "facts.json").read_text())
    assert facts["splits"]["train"]["classes"] == {"Good": 1, "bad": 22, "good": 21}
    assert facts["splits"]["validation"]["in_train"] == 1
    assert facts["classes_of_one_row"]["first"] == ["Good"]
    assert sorted(path.name for path in reviews.iterdir()) == ["dev.csv", "facts.json", "train.csv"]
    assert main(argv) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_model_tells_how_many_texts_are_cut(reviews, tiny_model, capsys):
    long = reviews / "long.csv"
    long.write_text("text,label\n" + "".join(f"{'word ' * (30 if n < 5 else 2)}{n},{n % 2}\n" for n in range(20)))
    argv = ["check", "--train_file", str(long), "--validation_share", "0.2", "--max_length", "16"]
    assert main([*argv, "--model", str(tiny_model)]) == 0
    assert "5 texts cut at 16 tokens" in capsys.readouterr().out
    assert main(argv) == 0
    assert "cut" not in capsys.readouterr().out


def test_images_of_a_folder_with_one_twice(tmp_path, capsys):
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / name / f"{number}.png"
            )
    same = Image.open(tmp_path / "pets" / "cat" / "0.png")
    same.save(tmp_path / "pets" / "dog" / "same.png")
    out = tmp_path / "facts.json"
    argv = ["check", "--dataset", str(tmp_path / "pets"), "--output", str(out), "--validation_share", "0"]
    assert main([*argv]) == 0
    told = capsys.readouterr().out
    assert "rows: train 13" in told
    assert "2 rows of train stand there again with another label" in told
    assert json.loads(out.read_text())["splits"]["train"]["repeated"] == 1


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--train_file", "nowhere.csv"], "nowhere.csv"),
        ([], "--train_file"),
        (["--dataset", "x", "--train_file", "y.csv"], "take one of them"),
        (["--validation_file", "y.csv"], "--train_file"),
        (["--train_fil", "y.csv"], "--train_file"),
        (["--train_file", "y.csv", "--max_length", "2"], "max_length"),
    ],
)
def test_a_mistake_ends_in_one_line(flags, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert named in error
