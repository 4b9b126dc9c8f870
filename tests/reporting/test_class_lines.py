"""What the terminal says of the classes: numbers as scikit-learn's, in at most twelve lines."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from logitmix_hf.evaluation import MULTI, REGRESSION, Predictions
from logitmix_hf.reporting.class_lines import class_lines


def drawn(classes: int, rows: int = 200, seed: int = 0, name: str = "c{}") -> Predictions:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, rows)
    logits = draw.normal(size=(rows, classes)) + np.eye(classes)[labels]
    return Predictions(logits, labels, tuple(name.format(k) for k in range(classes)))


def test_few_classes_have_scores_and_what_they_were_taken_for_in_one_table():
    p = drawn(3)
    lines, silent = class_lines({"validation": p}, ("accuracy",))
    assert silent == []
    recalls = recall_score(p.labels, p.predictions, average=None)
    square = confusion_matrix(p.labels, p.predictions)
    assert lines[0].split() == [
        "class",
        "rows",
        "precision",
        "recall",
        "F1",
        "ECE",
        *["as", "c0", "as", "c1", "as", "c2"],
    ]
    for k in range(3):
        cells = lines[1 + k].split()
        assert cells[:2] == [f"c{k}", str((p.labels == k).sum())]
        assert cells[3] == f"{recalls[k]:.4f}"
        assert list(map(int, cells[6:])) == square[k].tolist()
    assert f"F1 macro {f1_score(p.labels, p.predictions, average='macro'):.4f}" in lines[4]
    assert f"balanced accuracy {balanced_accuracy_score(p.labels, p.predictions):.4f}" in lines[4]
    largest = np.bincount(p.labels).argmax()
    assert f"Always 'c{largest}': accuracy {np.mean(p.labels == largest):.4f}" in lines[4]
    assert len(lines) == 5


@pytest.mark.parametrize("classes", [2, 6, 9, 10, 40, 1000])
@pytest.mark.parametrize("splits", [1, 2, 9])
def test_never_more_than_twelve_lines_nor_wider_than_a_terminal(classes, splits):
    found = {f"split {k}": drawn(classes, seed=k, name="class with a long name {}") for k in range(splits)}
    lines, silent = class_lines(found, ("accuracy", "f1_macro"))
    assert len(lines) + 1 + len(silent) <= 12
    assert any("rows" in line for line in lines)
    table = [line for line in lines if not re.search(r"Always|Confused|more ", line)]
    assert max(map(len, table)) <= 100
    assert len(table) >= 3, "at least two classes have room"


def test_of_many_classes_those_of_lowest_f1_are_shown_and_the_rest_counted():
    p = drawn(30, 2000)
    lines, _ = class_lines({"validation": p}, ("accuracy",))
    scores = f1_score(p.labels, p.predictions, average=None)
    shown = [line.split()[0] for line in lines[1:] if re.match(r"c\d+ ", line)]
    assert shown == [f"c{k}" for k in np.argsort(scores, kind="stable")[: len(shown)]]
    assert f"{30 - len(shown)} more classes" in "\n".join(lines)
    assert "Confused most: " in "\n".join(lines)


def test_a_class_without_rows_has_a_dash_and_no_zero():
    p = Predictions(np.eye(3)[[0, 1, 1]], np.array([0, 1, 0]), ("a", "b", "absent"))
    lines, _ = class_lines({"validation": p}, ("accuracy",))
    assert next(line for line in lines if line.startswith("absent")).split()[1:5] == ["0", "–", "–", "–"]


def test_a_regression_is_set_beside_the_mean():
    p = Predictions(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 6.0]), (), REGRESSION)
    ((line,), silent) = class_lines({"validation": p}, ("pearson",))
    assert "RMSE 1.732, MAE 1;" in line  # errors 0, 0, 3
    assert "RMSE 2.16, MAE 2" in line  # of 3: errors 2, 1, 3
    assert "R² 0.3571" in line  # 1 - 9 / 14
    assert silent == []


def test_several_labels_have_no_columns_of_confusion():
    draw = np.random.default_rng(0)
    p = Predictions(draw.normal(size=(30, 2)), draw.integers(0, 2, (30, 2)), ("x", "y"), MULTI)
    lines, _ = class_lines({"validation": p}, ("f1_micro",))
    assert lines[0].split() == ["class", "rows", "precision", "recall", "F1", "ECE"]
    assert "more frequent side: f1 micro" in lines[-1]


def test_no_rows_and_no_labels_are_no_lines():
    empty = Predictions(np.zeros((0, 2)), np.zeros(0, dtype=int), ("a", "b"))
    assert class_lines({"validation": empty, "test": Predictions(np.eye(2), None)}, ("accuracy",)) == ([], [])


def test_what_a_terminal_would_obey_is_shown():
    from logitmix_hf.errors import printable

    p = Predictions(np.eye(2)[[0, 1]], np.array([0, 1]), ("a\x1b[31m", "b\nc"))
    lines, _ = class_lines({"validation": p}, ("accuracy",))
    assert "\x1b" not in "".join(map(printable, lines))
    assert all("\n" not in line for line in lines)
