"""The ``evaluate`` modules: load by path with no network, and give the numbers of outside references."""

from __future__ import annotations

import re
import socket
import uuid
from functools import partial

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import GLUE_METRICS, MULTI, Predictions, evaluate_predictions, module_path, review

evaluate = pytest.importorskip("evaluate")


@pytest.fixture
def load(tmp_path, monkeypatch):
    """``evaluate.load`` of one of our modules with caches in a temporary folder and no way out of the machine."""

    def no_network(*_, **__):
        raise AssertionError("a module asked for the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    # evaluate puts copies below one package: an own name for each test, or the first test's folder would stay in use
    folder = partial(evaluate.loading.init_dynamic_modules, f"copies_{uuid.uuid4().hex}", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.loading, "init_dynamic_modules", folder)

    def load(name, *config):
        return evaluate.load(module_path(name), *config, cache_dir=str(tmp_path / "cache"))

    return load


def random_case(classes, rows=150, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, classes)) * 2, rng.integers(classes, size=rows)


@pytest.mark.parametrize("task", ["cola", "sst2", "mrpc", "mnli", "rte"])
def test_glue_scores_against_scikit_learn(load, task):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = random_case(3 if task == "mnli" else 2)
    guess = logits.argmax(1)
    references = {
        "accuracy": metrics.accuracy_score(labels, guess),
        "f1": metrics.f1_score(labels, guess, average="macro" if task == "mnli" else "binary"),
        "matthews_correlation": metrics.matthews_corrcoef(labels, guess),
    }
    scores = load("glue_scores", task).compute(predictions=guess.tolist(), references=labels.tolist())
    assert scores == pytest.approx({name: references[name] for name in GLUE_METRICS[task]})


def test_glue_scores_of_stsb_against_scipy(load):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    labels = rng.uniform(0, 5, size=60).round(1)
    values = labels + rng.normal(size=60)
    scores = load("glue_scores", "stsb").compute(predictions=values, references=labels)
    expected = {"pearson": stats.pearsonr(values, labels)[0], "spearmanr": stats.spearmanr(values, labels)[0]}
    assert scores == pytest.approx(expected, abs=1e-12)


def test_glue_scores_in_batches(load):
    module = load("glue_scores", "rte")
    for guess, label in (([1, 0], [1, 1]), ([0], [0])):
        module.add_batch(predictions=guess, references=label)
    assert module.compute() == {"accuracy": pytest.approx(2 / 3)}


def test_an_unknown_task_is_named(load):
    with pytest.raises(UserError, match="Did you mean 'mrpc'"):
        load("glue_scores", "mrcp")


@pytest.mark.parametrize("bins", [10, 15])
def test_calibration_of_logits_against_outside_references(load, bins):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = random_case(4)
    scores = load("calibration").compute(predictions=logits, references=labels, predictions_are="logits", n_bins=bins)
    assert list(scores) == ["ece", "oe", "confidence_gap", "nll", "brier"]
    p = torch.softmax(torch.tensor(logits), dim=1)
    theirs = functional.multiclass_calibration_error(p, torch.tensor(labels), num_classes=4, n_bins=bins)
    assert scores["ece"] == pytest.approx(float(theirs), abs=1e-6)
    assert 0 <= scores["oe"] <= scores["ece"]
    accuracy = metrics.accuracy_score(labels, logits.argmax(1))
    assert scores["confidence_gap"] == pytest.approx(float(p.max(1).values.mean()) - accuracy)
    assert scores["nll"] == pytest.approx(metrics.log_loss(labels, p.numpy()))
    assert scores["brier"] == pytest.approx(float(((p - torch.eye(4)[labels]) ** 2).sum(1).mean()))
    probabilities = load("calibration").compute(
        predictions=p.tolist(), references=labels, predictions_are="probabilities", n_bins=bins
    )
    assert probabilities == pytest.approx(scores)


def test_calibration_is_that_of_the_report(load):
    logits, labels = random_case(3)
    logits = logits.astype(np.float32)
    report = evaluate_predictions(Predictions(logits, labels))
    scores = load("calibration").compute(predictions=logits, references=labels, predictions_are="logits")
    assert scores == {name: report[name] for name in scores}


def test_the_full_calibration_is_that_of_the_final_report(load):
    logits, labels = random_case(3)
    logits = logits.astype(np.float32)
    report = review(Predictions(logits, labels))
    for kind, values in (("logits", logits), ("probabilities", Predictions(logits, labels).probabilities)):
        scores = load("calibration").compute(predictions=values, references=labels, predictions_are=kind, full=True)
        assert scores == pytest.approx({name: value for name, value in report.items() if name != "accuracy"})
    several = np.eye(3, dtype=int)[labels]
    report = review(Predictions(logits, several, problem=MULTI), ["subset_accuracy"])
    scores = load("calibration", "multilabel").compute(
        predictions=logits, references=several, predictions_are="logits", full=True
    )
    assert scores == pytest.approx({name: value for name, value in report.items() if name != "subset_accuracy"})


def test_golden_numbers_as_probabilities(load):
    confidence = np.array([0.95, 0.91, 0.85, 0.62, 0.58, 0.33, 0.40, 0.99])
    rest = (1 - confidence) / 4  # four other classes, none of them likelier
    rows = np.column_stack([confidence, *[rest] * 4])
    labels = [0 if right else 1 for right in (1, 0, 1, 1, 0, 0, 1, 1)]
    expected = {5: (0.241250, 0.122988), 10: (0.278750, 0.142987), 15: (0.376250, 0.159175)}
    for bins, (ece, oe) in expected.items():
        scores = load("calibration").compute(
            predictions=rows, references=labels, predictions_are="probabilities", n_bins=bins
        )
        assert scores["ece"] == pytest.approx(ece, abs=5e-7)
        assert scores["oe"] == pytest.approx(oe, abs=5e-7)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_output_is_a_binary_model(load, shape):
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=40), rng.integers(2, size=40)
    wide = load("calibration").compute(
        predictions=np.stack([np.zeros(40), z], 1), references=labels, predictions_are="logits"
    )
    for kind, values in (("logits", z), ("probabilities", 1 / (1 + np.exp(-z)))):
        narrow = load("calibration").compute(predictions=values.reshape(shape), references=labels, predictions_are=kind)
        assert narrow == pytest.approx(wide)


def test_a_label_given_no_probability_is_infinitely_unlikely(load):
    scores = load("calibration").compute(predictions=[[1.0, 0.0]], references=[1], predictions_are="probabilities")
    assert scores == {"ece": 1, "oe": 1, "confidence_gap": 1, "nll": float("inf"), "brier": 2}


def test_multilabel_judges_every_label(load):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(30, 3)), rng.integers(2, size=(30, 3))
    p = 1 / (1 + np.exp(-z))
    for kind, values in (("logits", z), ("probabilities", p)):
        scores = load("calibration", "multilabel").compute(predictions=values, references=labels, predictions_are=kind)
        assert scores["nll"] == pytest.approx(metrics.log_loss(labels.ravel(), p.ravel()))
        assert scores["brier"] == pytest.approx(2 * np.mean((p - labels) ** 2))
        confidence, right = np.maximum(p, 1 - p), (p > 0.5) == labels
        assert scores["confidence_gap"] == pytest.approx(confidence.mean() - right.mean())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"predictions": [[0.0, 1.0]], "references": [1]}, "predictions_are="),
        ({"predictions": [[0.0, 1.0]], "references": [1], "predictions_are": "logit"}, "Did you mean 'logits'"),
        ({"predictions": [[0.5, 0.5], [0.0, 2.0]], "references": [1, 0], "predictions_are": "probabilities"}, "row 1"),
        (
            {"predictions": [[0.5, 0.5], [0.0, float("nan")]], "references": [1, 0], "predictions_are": "logits"},
            "row 1",
        ),
        ({"predictions": [[0.5, 0.5]], "references": [2], "predictions_are": "logits"}, "row 0 is 2"),
        ({"predictions": [[0.5, 0.5]], "references": [1], "predictions_are": "logits", "n_bins": 0}, "at least 1"),
    ],
)
def test_mistakes(load, arguments, words):
    with pytest.raises(UserError, match=re.escape(words)):
        load("calibration").compute(**arguments)


def test_an_unknown_module_is_named():
    with pytest.raises(UserError, match="Known: calibration, glue_scores"):
        module_path("glue")
