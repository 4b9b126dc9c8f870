"""What ``logitmix predict`` takes over from its input, the probability of every label, and labels that are held back."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servingmodels import pictures, text_classifier, tiny_vit

from logitmix_hf.cli import main
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.inputs import InputRow

ROWS = [
    {"id": "007", "text": "good film", "label": "x", "price": "1.23456789012", "note": ""},
    {"id": "8", "text": 'bad, "very" bad', "label": "y", "price": "=1+1", "note": "two\nlines"},
]


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory) -> Path:
    return text_classifier(tmp_path_factory.mktemp("classifier"), tiny_model)


@pytest.fixture
def table(tmp_path) -> Path:
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    return tmp_path / "rows.csv"


def predict(*words: object) -> int:
    return main(["predict", "--device", "cpu", *map(str, words)])


def test_columns_are_taken_over_as_they_are(folder, table, capsys):
    assert predict("--model", folder, "--input", table, "--keep", "price, id") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["index", "price", "id", "label", "probability"]
    assert [row["id"] for row in rows] == ["007", "8"]
    assert [row["price"] for row in rows] == [
        "1.23456789012",
        "'=1+1",
    ]  # which a spreadsheet shows, and does not compute


def test_all_of_them_and_one_that_is_called_like_an_answer(folder, table, tmp_path, capsys):
    assert predict("--model", folder, "--input", table, "--keep", "all", "--output", tmp_path / "out.jsonl") == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert list(lines[0]) == ["index", "id", "text", "input_label", "price", "note", "label", "probability"]
    assert [line["input_label"] for line in lines] == ["x", "y"]
    assert [line["text"] for line in lines] == [row["text"] for row in ROWS]


def test_types_stay_where_the_input_has_them(folder, tmp_path):
    day = datetime.date(2026, 1, 2)
    values = {
        "text": ["good", "bad"],
        "n": [2**60 + 1, None],
        "x": [0.123456789, 2.0],
        "ok": [True, False],
        "day": [day, day],
    }
    pq.write_table(pa.table({**values, "list": [[1], [2]]}), tmp_path / "rows.parquet")
    for suffix in ("parquet", "jsonl", "csv"):
        out = tmp_path / f"out.{suffix}"
        assert (
            predict(
                "--model", folder, "--input", tmp_path / "rows.parquet", "--keep", "n,x,ok,day,list", "--output", out
            )
            == 0
        )
    frame = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["n"], row["x"], row["ok"]) for row in frame] == [(2**60 + 1, 0.123456789, True), (None, 2.0, False)]
    assert frame[0]["day"] == '"2026-01-02"'
    line = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert (line["n"], line["x"], line["list"], line["day"]) == (2**60 + 1, 0.123456789, [1], "2026-01-02")
    row = next(csv.DictReader((tmp_path / "out.csv").open()))
    assert (row["n"], row["x"], row["ok"], row["list"]) == (str(2**60 + 1), "0.123456789", "true", "[1]")


def test_json_of_mixed_values_goes_into_every_format(folder, tmp_path):
    rows = [{"text": "good", "id": 1}, {"text": "bad", "id": "b"}, {"text": "good", "id": {"a": [1]}}, {"text": "bad"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for suffix in ("parquet", "jsonl", "csv"):
        out = tmp_path / f"out.{suffix}"
        assert predict("--model", folder, "--input", tmp_path / "rows.jsonl", "--keep", "id", "--output", out) == 0
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["1", "b", '{"a": [1]}', None]
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, "b", {"a": [1]}, None]


def test_images_of_a_table_and_of_a_folder(tmp_path, capsys):
    model = tiny_vit(tmp_path / "model")
    paths = sorted(path for path in pictures(tmp_path / "pictures").rglob("*") if path.is_file())
    (tmp_path / "rows.csv").write_text("image,who\n" + "".join(f"{path},{n}\n" for n, path in enumerate(paths)))
    assert predict("--model", model, "--input", tmp_path / "rows.csv", "--keep", "who") == 0
    assert [row["who"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == [
        str(number) for number in range(len(paths))
    ]
    for source in (tmp_path / "pictures", paths[0]):
        assert predict("--model", model, "--input", source, "--keep", "who") == 2
        assert "--keep names columns of a table" in capsys.readouterr().err


def test_a_column_that_is_not_there_is_named(folder, table, capsys):
    assert predict("--model", folder, "--input", table, "--keep", "id,pricey") == 2
    assert "has no column 'pricey'. Did you mean 'price'?" in capsys.readouterr().err


LOGITS = np.array([[2.0, -1.0, 0.1], [0.0, 0.0, 0.0]], np.float32)
ASKED = [InputRow(number, f"row {number}") for number in (4, 5)]


def test_every_label_has_its_probability():
    """By hand: of three equal logits a third each, or a sigmoid of a half."""
    first, second = Answers(SINGLE, ("a", "b", "2"), top_k=2, each=True).of(ASKED, LOGITS)
    assert [second["p_a"], second["p_b"], second["p_2"]] == pytest.approx([1 / 3] * 3)
    assert first["p_a"] == first["probability"]
    assert first["p_2"] == first["probability_2"]
    assert [row["p_a"] for row in Answers(MULTI, ("a", "b", "c"), each=True).of(ASKED, LOGITS)] == pytest.approx(
        [0.8808, 0.5], abs=1e-4
    )


def test_a_label_that_is_held_back_is_a_suggestion():
    first, second = Answers(SINGLE, ("a", "b", "c"), abstain_below=0.7).of(ASKED, LOGITS)
    assert (first["label"], first["suggestion"], first["abstained"]) == ("a", "a", False)
    assert (second["label"], second["suggestion"], second["abstained"]) == (None, "a", True)


def test_a_regression_has_no_labels(folder, table, capsys):
    from logitmix_hf.errors import UserError

    with pytest.raises(UserError, match="--probabilities is for classes"):
        Answers(REGRESSION, each=True)
