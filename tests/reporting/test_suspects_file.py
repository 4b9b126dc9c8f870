"""``suspects.csv``: which rows it names, what a spreadsheet would obey, and that it stays at home."""

from __future__ import annotations

import csv

import numpy as np

from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.reporting.folder import PUBLIC_FILES, RunFolder
from logitmix_hf.reporting.suspects import FILE, write_suspects


def sure(answers: list[int], labels: list[int], **more) -> Predictions:
    return Predictions(4.0 * np.eye(2)[answers], np.array(labels), ("=bad()", "good"), **more)


def test_rows_of_all_splits_with_their_texts(tmp_path):
    folder = RunFolder(tmp_path)
    splits = {
        "validation": sure([0, 0, 1, 1], [0, 0, 1, 0], idx=np.array([7, 8, 9, 30])),
        "test": sure([0, 1, 1], [0, 1, 1]),
    }
    line = write_suspects(folder, splits, {"validation": {"text": ["a", "b", "c", "@SUM(1)"]}})
    assert line.startswith("1 of the 7 judged rows has a label")
    (row,) = csv.DictReader((tmp_path / FILE).open())
    assert (row["split"], row["idx"], row["label"], row["answer"]) == ("validation", "30", "'=bad()", "good")
    assert row["text"] == "'@SUM(1)"
    assert abs(float(row["probability_of_label"]) - 1 / (1 + np.exp(4))) < 1e-5
    assert FILE not in PUBLIC_FILES


def test_a_model_of_one_answer_doubts_no_label(tmp_path):
    folder, splits = RunFolder(tmp_path), {"validation": sure([1, 1, 1], [0, 1, 0])}
    assert write_suspects(folder, splits).startswith("No suspects.csv: the model answers all rows of validation alike")
    assert not (tmp_path / FILE).exists()


def test_where_nothing_is_suspect_an_old_file_goes(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / FILE).write_text("old")
    values = Predictions(np.zeros((2, 1)), np.zeros(2), (), REGRESSION)
    empty = Predictions(np.zeros((0, 2)), np.zeros(0, dtype=int), ("a", "b"))
    unknown = Predictions(np.eye(2), None, ("a", "b"))
    assert write_suspects(folder, {"a": values, "b": empty, "c": unknown, "d": sure([0, 1], [0, 1])}) == ""
    assert not (tmp_path / FILE).exists()
