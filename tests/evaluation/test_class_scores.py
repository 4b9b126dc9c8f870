"""The table of classes and the baselines, against scikit-learn's report, its dummies, and counts by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    balanced_accuracy_score,
    classification_report,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    multilabel_confusion_matrix,
    r2_score,
)

from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE, Predictions, ece_classwise
from logitmix_hf.evaluation.class_scores import MOST_PAIRS, balance, baseline, class_scores


def drawn(seed: int, classes: int = 4, rows: int = 60) -> Predictions:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[draw.integers(0, classes, rows)]
    return Predictions(logits, draw.integers(0, classes, rows), tuple("abcdefgh"[:classes]), SINGLE)


def several(seed: int, labels: int = 3) -> Predictions:
    draw = np.random.default_rng(seed)
    return Predictions(draw.normal(size=(50, labels)), draw.integers(0, 2, (50, labels)), tuple("xyz"[:labels]), MULTI)


@pytest.mark.parametrize("p", [*map(drawn, range(3)), drawn(3, 2), drawn(4, 8, 9), several(0), several(1)])
def test_the_table_is_scikit_learns_report(p):
    found = class_scores(p)
    assert found is not None
    numbers = None if p.problem == MULTI else range(len(p.label_names))
    report = classification_report(
        p.labels, p.predictions, labels=numbers, target_names=p.label_names, output_dict=True, zero_division=0
    )
    for row in found.as_json()["per_class"]:
        theirs = report[row["label"]]
        assert row["rows"] == theirs["support"]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [theirs["precision"], theirs["recall"], theirs["f1-score"]], abs=1e-12
        )
    assert np.mean(found.ece) == pytest.approx(ece_classwise(p.probabilities, p.labels))
    square = (
        multilabel_confusion_matrix(p.labels, p.predictions)
        if p.problem == MULTI
        else confusion_matrix(p.labels, p.predictions, labels=numbers)
    )
    assert found.as_json()["confusion_matrix"] == square.tolist()
    json.dumps(found.as_json(), allow_nan=False)


def test_a_class_without_rows_and_one_that_is_never_answered_are_told_apart_from_bad_ones():
    said, true = [0, 0, 0, 2, 2], [0, 0, 1, 1, 1]  # c is answered twice and has no rows, d is nowhere
    found = class_scores(Predictions(np.eye(4)[said], np.array(true), tuple("abcd")))
    assert found is not None
    assert found.rows.tolist() == [2, 3, 0, 0]
    assert found.answered.tolist() == [3, 0, 2, 0]
    assert found.recall.tolist() == [1, 0, 0, 0]
    assert {key: some.tolist() for key, some in found.defined.items()} == {
        "precision": [True, False, True, False],
        "recall": [True, True, False, False],
        "f1": [True, True, True, False],
        "ece": [True] * 4,
    }
    assert found.confused == ((1, 2, 2), (1, 0, 1))
    assert found.weakest() == [1, 0, 2, 3]


def test_macro_f1_and_balanced_accuracy_are_scikit_learns_with_a_class_that_is_absent():
    p = Predictions(np.eye(3)[[0, 0, 1, 2]], np.array([0, 1, 1, 1]), tuple("abc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = balance(p)
    assert found["f1_macro"] == f1_score([0, 1, 1, 1], [0, 0, 1, 2], average="macro")
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)  # c has no rows and counts for nothing
    other = drawn(7)
    assert balance(other)["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(other.labels, other.predictions)
    )
    assert balance(several(2)).keys() == {"f1_macro"}


def test_the_baseline_of_classes_is_that_of_scikit_learns_dummies():
    p = drawn(5)
    nothing = np.zeros((len(p), 1))
    prior = DummyClassifier(strategy="prior").fit(nothing, p.labels)
    found = baseline(p, ["accuracy", "f1_macro", "top5_accuracy"])
    assert found["accuracy"] == pytest.approx(prior.score(nothing, p.labels))
    assert found["f1_macro"] == pytest.approx(f1_score(p.labels, prior.predict(nothing), average="macro"))
    assert found["nll"] == pytest.approx(log_loss(p.labels, prior.predict_proba(nothing)))
    assert "top5_accuracy" not in found


def test_the_baseline_of_several_labels_says_each_ones_more_frequent_side():
    p = several(3)
    nothing = np.zeros((len(p), 1))
    dummy = DummyClassifier(strategy="most_frequent").fit(nothing, p.labels)
    found = baseline(p, ["f1_micro", "subset_accuracy"])
    assert found["f1_micro"] == pytest.approx(
        f1_score(p.labels, dummy.predict(nothing), average="micro", zero_division=0)
    )
    shares = p.labels.mean(axis=0)
    by_hand = -np.mean(shares * np.log(shares) + (1 - shares) * np.log(1 - shares))
    assert found["nll"] == pytest.approx(by_hand)


def test_the_baseline_of_a_regression_says_the_mean():
    labels = np.array([1.0, 2.0, 6.0])
    p = Predictions(np.array([[1.0], [2.0], [3.0]]), labels, (), REGRESSION)
    dummy = DummyRegressor().fit(np.zeros((3, 1)), labels).predict(np.zeros((3, 1)))
    found = baseline(p, ["pearson", "r2", "rmse", "mae"])
    assert found == {
        "r2": pytest.approx(r2_score(labels, dummy)),
        "rmse": pytest.approx(labels.std()),
        "mae": pytest.approx(mean_absolute_error(labels, dummy)),
    }


def test_nothing_to_judge_is_nothing_and_no_error():
    for p in (
        Predictions(np.zeros((0, 2)), np.zeros(0, dtype=int), ("a", "b")),
        Predictions(np.eye(2), None, ("a", "b")),
        Predictions(np.zeros((3, 1)), np.zeros(3), (), REGRESSION),
    ):
        assert class_scores(p) is None
        assert balance(p) == {}


def test_one_label_of_several_is_a_label_and_not_two_classes():
    found = class_scores(Predictions(np.array([[1.0], [1.0], [-1.0]]), np.array([[1], [0], [0]]), ("spam",), MULTI))
    assert found is not None
    assert [found.precision.tolist(), found.recall.tolist()] == [[0.5], [1.0]]
    assert found.confusion is not None
    assert found.confusion.tolist() == [[[1, 1], [0, 1]]]


def test_thousands_of_classes_leave_a_bounded_file():
    classes = 3000
    draw = np.random.default_rng(0)
    labels = np.concatenate([draw.integers(0, classes, 900), [5] * 7])
    said = np.concatenate([draw.integers(0, classes, 900), [9] * 7])
    logits = np.zeros((len(labels), classes), dtype=np.float32)
    logits[np.arange(len(labels)), said] = 5
    found = class_scores(Predictions(logits, labels, tuple(f"n{k}" for k in range(classes))))
    assert found is not None
    values = found.as_json()
    assert "confusion_matrix" not in values
    assert len(values["per_class"]) == classes
    assert values["most_confused"][0] == {"label": "n5", "answered": "n9", "rows": 7}
    assert len(values["most_confused"]) == MOST_PAIRS
