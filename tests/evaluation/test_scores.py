"""Scores against scikit-learn and SciPy called directly, and numbers by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import (
    GLUE_METRICS,
    METRICS,
    MULTI,
    REGRESSION,
    SINGLE,
    Predictions,
    bin_predictions,
    ece,
    evaluate_predictions,
    task_scores,
)

CALIBRATION = ["ece", "oe", "confidence_gap", "nll", "brier"]


def single(rows=200, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return Predictions(logits, labels)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_single_label_against_scikit_learn(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    p = single(classes=classes)
    guess = p.logits.argmax(1)
    expected = {
        "accuracy": metrics.accuracy_score(p.labels, guess),
        "matthews_correlation": metrics.matthews_corrcoef(p.labels, guess),
        "f1_macro": metrics.f1_score(p.labels, guess, average="macro"),
        "f1_micro": metrics.f1_score(p.labels, guess, average="micro"),
    }
    if classes == 2:
        expected["f1"] = metrics.f1_score(p.labels, guess)
    scores = evaluate_predictions(p, tuple(expected))
    assert list(scores) == [*expected, *CALIBRATION]
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert scores["nll"] == pytest.approx(metrics.log_loss(p.labels, p.probabilities, labels=range(classes)))
    assert all(type(value) is float for value in scores.values())


def test_binary_scores_by_hand():
    # 3 right of 5; of class 1: 2 found, 1 false, 1 missed
    logits = np.eye(2)[[1, 1, 1, 0, 0]]
    p = Predictions(logits, np.array([1, 1, 0, 1, 0]))
    scores = evaluate_predictions(p, ("accuracy", "f1", "matthews_correlation"))
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert scores["matthews_correlation"] == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))


def test_regression_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    labels = rng.normal(size=100).round(1)  # with ties, which rank correlation must average
    p = Predictions(labels + rng.normal(size=100), labels, problem=REGRESSION)
    scores = evaluate_predictions(p, ("pearson", "spearmanr", "mse", "mae"))
    guess = p.logits[:, 0].astype(float)
    assert scores == pytest.approx(
        {
            "pearson": stats.pearsonr(guess, labels)[0],
            "spearmanr": stats.spearmanr(guess, labels)[0],
            "mse": np.mean((guess - labels) ** 2),
            "mae": np.mean(np.abs(guess - labels)),
        }
    )
    assert list(scores) == ["pearson", "spearmanr", "mse", "mae"]  # no calibration for values


@pytest.mark.parametrize("guess", [[2.0, 2.0, 2.0], [0.1, 0.1, 0.1]])
def test_a_correlation_with_a_constant_is_undefined(guess, recwarn):
    p = Predictions(np.array(guess), np.array([1.0, 2.0, 3.0]), problem=REGRESSION)
    scores = evaluate_predictions(p, ("pearson", "spearmanr", "mse"))
    assert math.isnan(scores["pearson"])
    assert math.isnan(scores["spearmanr"])
    assert math.isfinite(scores["mse"])
    assert not recwarn.list


def test_multi_label_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(80, 4))
    p = Predictions(rng.normal(size=(80, 4)) + labels, labels, problem=MULTI)
    scores = evaluate_predictions(p)
    guess = (p.logits > 0).astype(int)
    assert list(scores) == ["f1_micro", "f1_macro", "subset_accuracy", *CALIBRATION]
    assert scores["f1_micro"] == pytest.approx(metrics.f1_score(labels, guess, average="micro"))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score(labels, guess, average="macro"))
    assert scores["subset_accuracy"] == pytest.approx(np.mean((guess == labels).all(axis=1)))


def test_multi_label_calibration_is_that_of_the_flattened_decisions():
    """The same decisions written as a two-class problem of N * C rows have the same calibration."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(30, 3)).astype(np.float32) * 2, rng.integers(2, size=(30, 3))
    several = evaluate_predictions(Predictions(z, labels, problem=MULTI))
    flat = evaluate_predictions(Predictions(np.stack([0 * z.ravel(), z.ravel()], axis=1), labels.ravel()))
    assert {k: several[k] for k in CALIBRATION} == pytest.approx({k: flat[k] for k in CALIBRATION}, abs=1e-12)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(z).double(), torch.tensor(labels).double())
    assert several["nll"] == pytest.approx(float(bce))


def test_with_a_posterior_the_truth_stands_beside():
    posterior = np.array([[0.8, 0.2], [0.4, 0.6]])
    p = Predictions(np.log([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 1]), posterior=posterior)
    scores = evaluate_predictions(p)
    assert list(scores) == ["accuracy", *CALIBRATION, "true_calibration_error", "bayes_accuracy"]
    assert scores["true_calibration_error"] == pytest.approx((0.1 + 0.1) / 2, abs=1e-7)
    assert scores["bayes_accuracy"] == pytest.approx(0.7)
    several = Predictions(np.array([[0.0, 10.0]]), np.array([[0, 1]]), problem=MULTI, posterior=[[0.3, 0.9]])
    scores = evaluate_predictions(several)
    assert scores["bayes_accuracy"] == pytest.approx((0.7 + 0.9) / 2)
    sure = 1 / (1 + math.exp(-10))
    assert scores["true_calibration_error"] == pytest.approx((abs(0.5 - 0.7) + abs(sure - 0.9)) / 2)


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_the_plot_and_the_number_read_the_same_bins(bins):
    p = single(classes=3)
    counted, scores = bin_predictions(p, bins), evaluate_predictions(p, bins=bins)
    assert len(counted.count) == bins
    assert ece(counted) == scores["ece"]
    right = np.nansum(counted.accuracy * counted.count) / len(p)
    assert right == pytest.approx(scores["accuracy"])
    assert scores["confidence_gap"] == pytest.approx(p.probabilities.max(1).mean() - scores["accuracy"])


def test_likelihood_is_finite_where_the_probability_rounds_to_zero():
    scores = evaluate_predictions(Predictions(np.array([[900.0, 0.0]]), np.array([1])))
    assert scores["nll"] == pytest.approx(900)
    assert scores["brier"] == 2


def test_accuracy_and_calibration_agree_on_the_predicted_class_however_near():
    """Logits that differ by less than float64 can tell apart after the softmax still name one class."""
    p = Predictions(np.array([[0.0, 1e-30]], np.float32), np.array([1]))
    scores = evaluate_predictions(p)
    assert scores["accuracy"] == 1
    assert scores["confidence_gap"] == pytest.approx(0.5 - 1)


def test_glue_has_the_scores_of_glue():
    assert GLUE_METRICS["cola"] == ("matthews_correlation",)
    assert GLUE_METRICS["stsb"] == ("pearson", "spearmanr")
    assert GLUE_METRICS["mrpc"] == GLUE_METRICS["qqp"] == ("accuracy", "f1")
    for task in ("sst2", "mnli", "mnli_matched", "mnli_mismatched", "qnli", "rte", "wnli", "hans"):
        assert GLUE_METRICS[task] == ("accuracy",)
    for task, metrics in GLUE_METRICS.items():
        assert set(metrics) <= set(METRICS[REGRESSION if task == "stsb" else SINGLE])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluate_predictions(Predictions(np.zeros((2, 2)), None)), "no labels"),
        (lambda: bin_predictions(Predictions(np.zeros((2, 2)), None)), "no labels"),
        (lambda: bin_predictions(Predictions(np.zeros(2), np.zeros(2), problem=REGRESSION)), "regression"),
        (lambda: evaluate_predictions(single(), ("acuracy",)), "Did you mean 'accuracy'"),
        (lambda: evaluate_predictions(single(), ("pearson",)), "accuracy"),
        (lambda: evaluate_predictions(single(classes=3), ("f1",)), "f1_macro"),
        (lambda: evaluate_predictions(single(), bins=0), "at least 1"),
        (lambda: task_scores(SINGLE, ("accuracy",), np.zeros(2), np.zeros(3)), "shape"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_importing_is_cheap():
    heavy = ["torch", "transformers", "sklearn", "scipy", "pyarrow", "matplotlib", "datasets", "evaluate", "pandas"]
    code = f"import sys, logitmix_hf.evaluation; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
