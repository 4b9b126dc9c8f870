"""Leaderboard files, read back by the csv module and held against the format of gluebenchmark.com."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.text.submission import write_submission
from logitmix_hf.text.tasks import TASKS

# gluebenchmark.com/faq: "Your submission should have the following files"
FILES = {"CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI"}


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == ["index", "prediction"]
    assert [row[0] for row in rows] == [str(i) for i in range(len(rows))]
    return [row[1] for row in rows]


def test_the_ten_files_of_the_leaderboard(tmp_path):
    for task in TASKS.values():
        for key in task.test:
            write_submission(task, key, [0, 1], task.label_names, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.tsv" for name in FILES}


@pytest.mark.parametrize(
    ("task", "key", "written"),
    [
        ("rte", "test", ["entailment", "not_entailment"]),
        ("qnli", "test", ["entailment", "not_entailment"]),
        ("mnli", "test_matched", ["entailment", "neutral", "contradiction"]),
        ("mnli", "test_mismatched", ["entailment", "neutral", "contradiction"]),
        ("cola", "test", ["0", "1"]),
        ("wnli", "test", ["0", "1"]),
        ("mrpc", "test", ["0", "1"]),
        ("qqp", "test", ["0", "1"]),
        ("sst2", "test", ["0", "1"]),
    ],
)
def test_classes_are_written_as_the_leaderboard_wants_them(tmp_path, task, key, written):
    names = TASKS[task].label_names
    assert read(write_submission(task, key, np.arange(len(names)), names, tmp_path)) == written


@pytest.mark.parametrize(("task", "written"), [("rte", ["not_entailment", "entailment"]), ("cola", ["1", "0"])])
def test_a_model_that_numbers_its_labels_otherwise_is_understood_by_name(tmp_path, task, written):
    names = TASKS[task].label_names[::-1]
    assert read(write_submission(task, "test", [0, 1], names, tmp_path)) == written


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_similarities_are_clipped_and_rounded(tmp_path_factory, values):
    cells = read(write_submission("stsb", "test", values, (), tmp_path_factory.mktemp("s")))
    for value, cell in zip(values, cells, strict=True):
        assert len(cell.partition(".")[2]) == 3
        assert 0 <= float(cell) <= 5
        assert abs(float(cell) - min(max(value, 0), 5)) <= 0.0005 + 1e-12


def test_a_wrong_number_of_rows_is_refused_or_told(tmp_path, caplog):
    with pytest.raises(UserError, match="has 3000 rows, but 2 predictions"):
        write_submission("rte", "test", [0, 1], TASKS["rte"].label_names, tmp_path, rows=3000)
    with caplog.at_level(logging.WARNING):
        write_submission("rte", "test", [0, 1], TASKS["rte"].label_names, tmp_path)
    assert "2 rows" in caplog.text
    assert "3000" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        write_submission("rte", "test", np.zeros(3000, dtype=int), TASKS["rte"].label_names, tmp_path)
    assert not caplog.text


@pytest.mark.parametrize(
    ("task", "key", "predictions", "names", "message"),
    [
        ("rta", "test", [0], (), "No task is called 'rta'. Did you mean 'rte'"),
        ("mnli", "test", [0], (), "No test split of mnli is called 'test'"),
        ("rte", "test", [0, 2], ("entailment", "not_entailment"), "Prediction 1 is 2"),
        ("rte", "test", [0, -1], ("entailment", "not_entailment"), "Prediction 1 is -1"),
        ("rte", "test", [0, 0.5], ("entailment", "not_entailment"), "Prediction 1 is 0.5"),
        ("rte", "test", [0], ("yes", "no"), "labels of rte are entailment, not_entailment"),
        ("rte", "test", [], ("entailment", "not_entailment"), "at least one row"),
        ("rte", "test", [[0, 1]], ("entailment", "not_entailment"), "shape"),
        ("stsb", "test", [1.0, float("nan")], (), "prediction 1 is not a finite number"),
    ],
)
def test_mistakes_leave_no_file(tmp_path, task, key, predictions, names, message):
    with pytest.raises(UserError, match=message):
        write_submission(task, key, predictions, names, tmp_path)
    assert not list(tmp_path.iterdir())
