"""``logitmix predict`` as a user meets it: what stands in the output, in which order, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from servingmodels import pictures, text_classifier, tiny_vit

from logitmix_hf.cli import main
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.serving import load_classifier
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.inputs import InputRow
from logitmix_hf.serving.predict import Broken, answer_rows

TEXTS = [" ".join(["good", "bad", "film", "very"][n % 4] for n in range(1 + (7 * row) % 11)) for row in range(90)]


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory) -> Path:
    return text_classifier(tmp_path_factory.mktemp("classifier"), tiny_model)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    return path


def predict(*words: object) -> int:
    return main(["predict", "--device", "cpu", *map(str, words)])


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_order_is_the_datas_and_each_row_is_as_if_it_were_alone(folder, table, capsys):
    """Rows go through the model by length, 4 at a time, in two windows."""
    assert predict("--model", folder, "--input", table, "--batch_size", 4) == 0
    printed = capsys.readouterr()
    rows = cells(printed.out)
    classifier = load_classifier(str(folder), device="cpu")
    alone = np.concatenate([classifier.probabilities([text]) for text in TEXTS])
    assert [int(row["index"]) for row in rows] == list(range(90))
    assert [row["label"] for row in rows] == [classifier.label_names[number] for number in alone.argmax(1)]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], alone.max(1), atol=2e-6)
    assert printed.err.splitlines()[-1] == "90 rows"


def test_the_three_formats_say_the_same(folder, table, tmp_path, capsys):
    half = float(np.median(load_classifier(str(folder), device="cpu").probabilities(TEXTS).max(1)))
    flags = ["--model", folder, "--input", table, "--top_k", 2, "--abstain_below", half]
    for suffix in ("csv", "jsonl", "parquet"):
        assert predict(*flags, "--output", tmp_path / f"out.{suffix}") == 0
    frame = pq.read_table(tmp_path / "out.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    named = ["index", "label", "probability", "label_2", "probability_2", "abstained", "suggestion", "suggestion_2"]
    assert list(frame[0]) == named
    assert lines == [{key: pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
                      for key, value in row.items()} for row in frame]  # fmt: skip
    for row, line in zip(cells((tmp_path / "out.csv").read_text()), lines, strict=True):
        assert row == {key: "" if value is None else str(value).lower() for key, value in line.items()}
    share = sum(row["abstained"] for row in frame)
    assert 0 < share < 90
    assert all(row["abstained"] == (row["probability"] < half) == (row["label"] is None) for row in frame)
    assert f"90 rows, {share} abstained ({share / 90:.1%} below {half:g})" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.parquet"]


LOGITS = np.array([[2.0, -1.0, 0.1], [0.0, 0.0, 0.0], [-3.0, -3.0, 5.0]], np.float32)
ROWS = [InputRow(number, f"row {number}") for number in (4, 5, 6)]
NAMES = ("a", "b", "c")


def test_several_labels_a_row():
    """By hand: sigmoid(2) = .8808, sigmoid(.1) = .5250, sigmoid(-1) = .2689, sigmoid(0) = 1/2."""
    said = Answers(MULTI, NAMES, abstain_below=0.6).of(ROWS, LOGITS)
    assert list(Answers(MULTI, NAMES, abstain_below=0.6).columns) == [
        *("index", "labels", "probabilities", "abstained", "suggestions")
    ]
    assert [row["labels"] for row in said] == [None, None, ["c"]]  # .5250 is no sure yes, 1/2 neither
    assert [row["suggestions"] for row in said] == [["a", "c"], [], ["c"]]
    assert [row["labels"] for row in Answers(MULTI, NAMES).of(ROWS, LOGITS)] == [["a", "c"], [], ["c"]]
    assert Answers(MULTI, NAMES).of(ROWS, LOGITS)[0]["probabilities"] == pytest.approx([0.8808, 0.5250], abs=1e-4)
    assert Answers(MULTI, NAMES, threshold=0.2).of(ROWS, LOGITS)[0]["labels"] == ["a", "c", "b"]
    top = Answers(MULTI, NAMES, top_k=2).of(ROWS, LOGITS)[0]
    assert top == {"index": 4, "label": "a", "probability": pytest.approx(0.8808, abs=1e-4), "label_2": "c",
                   "probability_2": pytest.approx(0.5250, abs=1e-4)}  # fmt: skip


def test_a_value_a_row_and_more_places_than_classes():
    assert Answers(REGRESSION).of(ROWS, LOGITS[:, :1]) == [
        {"index": 4, "value": 2.0},
        {"index": 5, "value": 0.0},
        {"index": 6, "value": -3.0},
    ]
    (row,) = Answers(SINGLE, NAMES, top_k=9).of(ROWS[:1], LOGITS[:1])
    assert [row["label"], row["label_2"], row["label_3"]] == ["a", "c", "b"]
    assert row["probability"] + row["probability_2"] + row["probability_3"] == pytest.approx(1)


def test_a_bad_row_is_told_with_its_number_and_left_out_or_ends_all(folder, tmp_path, capsys):
    path, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"text": "good"}\n{"text": null}\n{"text": \n{"text": "bad"}\n')
    assert predict("--model", folder, "--input", path, "--output", output) == 0
    assert [json.loads(line)["index"] for line in output.read_text().splitlines()] == [0, 3]
    told = capsys.readouterr().err.splitlines()
    assert any(line.endswith("row 2 (line 2): no text in column 'text'") for line in told)
    assert any("row 3 (line 3): no JSON" in line for line in told)
    assert told[-1].startswith("2 rows, 2 left out")
    before = output.read_text()
    assert predict("--model", folder, "--input", path, "--output", output, "--overwrite", "--on_error", "stop") == 2
    assert "row 2 (line 2): no text in column 'text'. Mend it" in capsys.readouterr().err
    assert output.read_text() == before
    assert len(list(tmp_path.iterdir())) == 2
    path.write_text('{"text": null}\n{"text": null}\n')
    assert predict("--model", folder, "--input", path) == 2
    assert "None of the 2 rows" in capsys.readouterr().err


def test_a_picture_above_the_bound_is_told_and_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # Pillow warns above it, and refuses what is twice as large
    folder = tmp_path / "pictures"
    folder.mkdir()
    for side in (10, 21):
        Image.new("RGB", (side, 10), "red").save(folder / f"{side}.png")
    with warnings.catch_warnings(record=True) as caught:
        assert predict("--model", tiny_vit(tmp_path / "vit"), "--input", folder, "--max_pixels", 200) == 0
    assert not [one for one in caught if one.category is Image.DecompressionBombWarning]
    printed = capsys.readouterr()
    assert [row["file"] for row in cells(printed.out)] == ["10.png"]
    assert "21 x 10 pixels are more than --max_pixels 200 allows" in printed.err
    (tmp_path / "rows.csv").write_text("image\npictures/none.png\npictures/10.png\n")
    assert predict("--model", tmp_path / "vit", "--input", tmp_path / "rows.csv") == 0
    assert "row 1 (line 2): pictures/none.png: No such file or directory" in capsys.readouterr().err


def test_a_folder_of_images_with_one_that_is_broken(tmp_path, capsys):
    root, model = pictures(tmp_path / "images", count=3), tiny_vit(tmp_path / "model")
    (root / "cat" / "01.png").write_bytes(b"no image")
    (root / "dog" / "01.png").write_bytes((root / "dog" / "01.png").read_bytes()[:200])
    assert predict("--model", model, "--input", root, "--batch_size", 2) == 0
    printed = capsys.readouterr()
    rows = cells(printed.out)
    assert [(row["index"], row["file"]) for row in rows] == [
        ("0", "cat/00.png"), ("2", "cat/02.png"), ("3", "dog/00.png"), ("5", "dog/02.png"),
    ]  # fmt: skip
    assert "cat/01.png: not an image of a known kind" in printed.err
    assert "dog/01.png: image file is truncated" in printed.err
    classifier = load_classifier(str(model), device="cpu")
    (alone,) = classifier.probabilities([Image.open(root / "dog" / "02.png")])
    assert float(rows[-1]["probability"]) == pytest.approx(alone.max(), abs=1e-5)


@pytest.mark.parametrize("divisor", [float("nan"), 1e-45])  # not a number; beyond the largest float32
def test_outputs_that_are_not_finite_are_bad_rows(folder, divisor):
    classifier = load_classifier(str(folder), device="cpu")
    object.__setattr__(classifier, "scaling", SimpleNamespace(apply=lambda logits: logits / divisor))
    broken = Broken()
    rows = [InputRow(0, "row 1", "good"), InputRow(1, "row 2", "bad")]
    assert list(answer_rows(classifier, rows, Answers(SINGLE, classifier.label_names), broken)) == [[]]
    assert (broken.count, broken.first) == (2, "row 1: the model's outputs are not finite")


class Stub:
    """A classifier that costs nothing."""

    modality = "text"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def logits(self, texts):
        self.batches.append(len(texts))
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_no_more_rows_are_held_than_a_window_has():
    stub, drawn = Stub(), []

    def endless():
        index = 0
        while True:
            drawn.append(index)
            yield InputRow(index, f"row {index + 1}", "x" * (index % 7))
            index += 1

    answers = answer_rows(stub, endless(), Answers(SINGLE, ("long", "short")), Broken(), 8, 4)  # type: ignore[arg-type]
    for window in range(1, 4):
        some = next(answers)
        assert [row["index"] for row in some] == list(range(32 * (window - 1), 32 * window))
        assert len(drawn) == 32 * window
    assert stub.batches == [8] * 12


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder, table, monkeypatch, capsys):
    """As in `| head -1`: a pipe whose other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as end:
        monkeypatch.setattr(sys, "stdout", end)
        assert predict("--model", folder, "--input", table) == 0
    assert capsys.readouterr().err == ""


def test_mistakes_are_told_before_the_model_is_loaded(folder, table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "logitmix_hf.serving.classifier.FoundClassifier.load", lambda *_: pytest.fail("the model was loaded")
    )
    there = tmp_path / "there.csv"
    there.write_text("mine")

    def told(*words: object, model: object = folder) -> str:
        assert predict("--model", model, *words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        return line

    assert "exists: give another file, or replace it by --overwrite" in told("--input", table, "--output", there)
    assert there.read_text() == "mine"
    assert "is the input itself" in told("--input", table, "--output", table, "--overwrite")
    assert "of no known kind" in told("--input", table, "--output", tmp_path / "x.xls")
    assert "no text to print" in told("--input", table, "--output_format", "parquet")
    assert "has no column 'txt'. Did you mean 'text'?" in told("--input", table, "--text_columns", "txt")
    assert "--image_column does not fit" in told("--input", table, "--image_column", "text")
    assert "top_k must be" in told("--input", table, "--top_k", 0)
    assert "abstain_below must be" in told("--input", table, "--abstain_below", 1.5)
    assert "--threshold says which labels of a multi-label model" in told("--input", table, "--threshold", 0.5)
    assert "on_error must be one of skip, stop, got 'ignore'" in told("--input", table, "--on_error", "ignore")
    assert "needs rows" in told()
    assert "There is no flag --inptu. Did you mean '--input'?" in told("--inptu", table)
    assert "The device 'cuda:99'" in told("--input", table, "--device", "cuda:99")


def test_classes_are_not_asked_of_a_regression(tiny_model, table, tmp_path, capsys):
    value = text_classifier(tmp_path / "value", tiny_model, names=["score"])
    assert predict("--model", value, "--input", table) == 0
    assert list(cells(capsys.readouterr().out)[0]) == ["index", "value"]
    assert predict("--model", value, "--input", table, "--abstain_below", 0.8) == 2
    assert "this model is a regression" in capsys.readouterr().err
