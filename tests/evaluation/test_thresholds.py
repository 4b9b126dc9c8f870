"""Thresholds against scikit-learn's curves, by trying every one, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_curve

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, Predictions
from logitmix_hf.evaluation.thresholds import Thresholds, decision_scores, few, fit_thresholds, mean_cost, read_cost

NAMES = ("a", "b", "c")


def several(rows: int = 80, seed: int = 0) -> Predictions:
    """Labels of which the second is rare, and logits that are rounded so that some are equal."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=(rows, 3)) * 1.5 - [0, 2, -1], 1)
    return Predictions(z, (rng.random((rows, 3)) < 1 / (1 + np.exp(-z))).astype(int), NAMES, MULTI)


def two(rows: int = 80, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=rows) * 1.5 - 1.5, 1)
    return Predictions(np.stack([0 * z, z], 1), (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(int), ("no", "yes"))


@pytest.mark.parametrize("seed", range(5))
def test_the_f1_of_each_label_is_the_highest_of_scikit_learns_curve(seed):
    p = several(seed=seed)
    limits = fit_thresholds(p).of(NAMES)
    for k in range(3):
        precision, recall, _ = precision_recall_curve(p.labels[:, k], p.probabilities[:, k])  # type: ignore[index]
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        said = p.probabilities[:, k] > limits[k]
        assert f1_score(p.labels[:, k], said) == pytest.approx(best)  # type: ignore[index]


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_one_threshold_for_all_is_beaten_by_no_other(average):
    p = several()
    found = fit_thresholds(p, average)
    (value,) = set(found.values.values())
    tried = [
        f1_score(p.labels, p.probabilities > t, average=average, zero_division=0.0) for t in np.linspace(0, 1, 501)
    ]  # type: ignore[arg-type]
    assert f1_score(p.labels, p.probabilities > value, average=average) == pytest.approx(max(tried))  # type: ignore[arg-type]


@pytest.mark.parametrize("goal", ["label", "macro", "micro"])
def test_two_classes(goal):
    p = two()
    found = fit_thresholds(p, goal)
    assert list(found.values) == ["yes"]
    score = {
        "label": f1_score,
        "macro": lambda y, said: f1_score(y, said, average="macro"),
        "micro": accuracy_score,
    }[goal]
    tried = [score(p.labels, (p.probabilities[:, 1] > t).astype(int)) for t in np.linspace(0, 0.999, 501)]
    assert score(p.labels, found.decide(p.probabilities, p.label_names)) == pytest.approx(max(tried))


def test_the_first_class_may_be_the_positive_one():
    p = two()
    found = fit_thresholds(p, cost={"FN": 1.0, "FP": 20.0}, positive="no")
    assert list(found.values) == ["no"]
    assert found.values["no"] > 0.8
    said = found.decide(p.probabilities, p.label_names)
    assert np.array_equal(said == 0, p.probabilities[:, 0] > found.values["no"])


def test_costs_by_hand():
    # one miss costs as much as three alarms: saying all but the lowest costs 1, a half costs 3
    z = np.log(np.array([0.9, 0.4, 0.3, 0.1]) / np.array([0.1, 0.6, 0.7, 0.9]))
    p = Predictions(np.stack([0 * z, z], 1), np.array([1, 0, 1, 0]), ("no", "yes"))
    cost = read_cost("fn=3, FP=1")
    found = fit_thresholds(p, cost=cost)
    assert found.values["yes"] == pytest.approx(0.2)
    assert mean_cost(p, found.decide(p.probabilities, p.label_names), cost) == 1 / 4
    assert mean_cost(p, p.predictions, cost) == 3 / 4
    # calibrated probabilities of many rows: FP / (FP + FN), by Elkan (2001)
    many = fit_thresholds(two(20_000), cost={"FN": 3.0, "FP": 1.0}).values["yes"]
    assert many == pytest.approx(0.25, abs=0.07)


def test_between_equally_good_ones_the_nearest_to_a_half_and_without_a_case_a_half():
    p = Predictions(np.array([[3.0], [-3.0]]), np.array([[1], [0]]), ("a",), MULTI)
    assert fit_thresholds(p).values["a"] == pytest.approx(0.5)
    assert fit_thresholds(Predictions(np.array([[3.0], [1.0]]), np.array([[1], [1]]), ("a",), MULTI)).values["a"] == 0.5
    assert "'a'" in few(p)[0]
    assert few(several(400)) == []


def test_scores_of_what_is_said():
    p = several()
    found = fit_thresholds(p)
    rows = np.ones(len(p), dtype=bool)
    after, before = decision_scores(p, [(rows, found)]), decision_scores(p)
    said = found.decide(p.probabilities, NAMES)
    assert after["f1_macro"] == pytest.approx(f1_score(p.labels, said, average="macro"))  # type: ignore[arg-type]
    assert before["accuracy"] == accuracy_score(p.labels, p.predictions)  # type: ignore[arg-type]
    assert after["f1_macro"] > before["f1_macro"]


def test_what_is_written_is_read():
    found = fit_thresholds(several(), cost={"FN": 2.0, "FP": 1.0})
    assert Thresholds.read(found.record(), NAMES) == found
    assert Thresholds.read(None, NAMES) is None
    for record in ({"thresholds": {"d": 0.5}}, {"thresholds": {"a": 2}}, {"thresholds": {"a": 0.5}}):
        with pytest.raises(UserError):
            Thresholds.read(record, NAMES)


@pytest.mark.parametrize("text", ["FN", "FN=-1", "FX=2", "FN=0,FP=0", "FN=1;FP=2", ""])
def test_no_cost(text):
    with pytest.raises(UserError, match="--cost"):
        read_cost(text)


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (Predictions(np.eye(3), np.arange(3), NAMES), "tells 3 classes apart"),
        (Predictions(np.ones((1, 1)), np.ones(1), problem=REGRESSION), "gives a value"),
    ],
)
def test_no_yes_and_no(p, words):
    with pytest.raises(UserError, match=words):
        fit_thresholds(p)
