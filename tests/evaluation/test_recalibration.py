"""Vector scaling, Platt and isotonic against scikit-learn, by hand, and by their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions, evaluate_predictions, fit_temperature, nll
from logitmix_hf.evaluation.decisions import softmax
from logitmix_hf.evaluation.recalibration import (
    FITS,
    compare_methods,
    fit_isotonic,
    fit_platt,
    fit_vector_scaling,
)


def drawn(
    rows: int, classes: int = 3, seed: int = 0, scale: Any = 1.0, shift: Any = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), and the logits (z - shift) * scale that a model might have said."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, classes)) * 2
    labels = (softmax(z).cumsum(1) > rng.random((rows, 1))).argmax(1)
    return (z - shift) * scale, labels


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_what_was_spoilt_is_mended(name, classes):
    fit, judged = drawn(4000, classes, 1, scale=3.0), drawn(4000, classes, 2, scale=3.0)
    after = nll(FITS[name](*fit).apply(judged[0]), judged[1])
    assert after == pytest.approx(nll(judged[0] / 3, judged[1]), abs=0.02)
    assert after < nll(*judged) - 0.2


def test_vector_scaling_finds_the_scale_and_shift_that_spoilt_the_logits():
    spoilt = {"scale": np.array([2.0, 0.5, 1.0]), "shift": np.array([1.0, 0.0, -0.5])}
    fitted = fit_vector_scaling(*drawn(40_000, **spoilt))
    assert fitted.scale == pytest.approx(1 / spoilt["scale"], rel=0.06)
    # all shifts may grow together: their differences count
    assert fitted.shift - fitted.shift.mean() == pytest.approx(spoilt["shift"] - spoilt["shift"].mean(), abs=0.06)


@pytest.mark.parametrize("rows", [1, 5, 300])
@pytest.mark.parametrize("classes", [2, 4])
def test_vector_scaling_is_never_worse_than_the_temperature_on_its_own_rows(rows, classes):
    for seed in range(5):
        logits, labels = drawn(rows, classes, seed, scale=2.0)
        fitted, temperature = fit_vector_scaling(logits, labels), fit_temperature(logits, labels)
        assert fitted.nll_after <= temperature.nll_after + 1e-12
        assert nll(fitted.apply(logits), labels) == pytest.approx(fitted.nll_after, abs=1e-9)
        assert np.isfinite(fitted.scale).all()


def test_vector_scaling_has_one_minimum_that_no_neighbour_beats():
    logits, labels = drawn(200, 3)
    fitted, t = fit_vector_scaling(logits, labels), fit_temperature(logits, labels).value

    def penalised(scale, shift):
        pull = (((scale * t - 1) ** 2).sum() + (shift**2).sum()) / 2
        return nll(logits * scale + shift, labels) + pull / len(labels)

    best = penalised(fitted.scale, fitted.shift)
    rng = np.random.default_rng(0)
    for _ in range(50):
        step = rng.normal(size=(2, 3)) * 1e-3
        assert penalised(fitted.scale + step[0], fitted.shift + step[1]) > best
    # a prior centred on zero shift leaves their sum at zero
    assert fitted.shift.sum() == pytest.approx(0, abs=1e-6)


def test_vector_scaling_of_larger_logits_says_the_same():
    logits, labels = drawn(100)
    one, ten = fit_vector_scaling(logits, labels), fit_vector_scaling(logits * 10, labels)
    assert ten.apply(logits * 10) == pytest.approx(one.apply(logits), abs=1e-4)


class Margin(LogisticRegression):
    """A fitted binary classifier whose decision function is its only feature."""

    def fit(self, x, y, **_):
        super().fit(x, y)
        self.coef_, self.intercept_ = np.ones((1, 1)), np.zeros(1)
        return self


@pytest.mark.parametrize(("name", "theirs"), [("platt", "sigmoid"), ("isotonic", "isotonic")])
def test_two_classes_against_scikit_learn(name, theirs):
    frozen = pytest.importorskip("sklearn.frozen")
    logits, labels = drawn(500, 2, scale=2.5)
    margin = logits[:, 1:] - logits[:, :1]
    base = frozen.FrozenEstimator(Margin().fit(margin, labels))
    expected = CalibratedClassifierCV(base, method=theirs).fit(margin, labels).predict_proba(margin)
    ours = softmax(FITS[name](logits, labels).apply(logits))
    assert ours == pytest.approx(expected, abs=2e-4)


def test_isotonic_by_hand():
    """Log-odds -2, -1, 1, 2 with labels 0, 1, 0, 1: the two in the middle are pooled to one half."""
    logits = [[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]
    p = softmax(fit_isotonic(logits, [0, 1, 0, 1]).apply(np.array(logits)))[:, 1]
    assert p == pytest.approx([0, 0.5, 0.5, 1], abs=2e-6)


def test_platt_of_separable_rows_by_hand():
    """Two rows, one of each class: Platt's targets are 1/3 and 2/3, and the curve goes through both."""
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    p = softmax(fit_platt(logits, [0, 1]).apply(logits))
    assert p == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]), abs=1e-5)


@pytest.mark.parametrize("name", FITS)
def test_a_class_that_the_rows_lack_and_logits_of_any_size_give_finite_probabilities(name):
    logits, labels = drawn(60, 4, scale=1.0)
    labels = np.minimum(labels, 2)
    fitted = FITS[name](logits, labels)
    for size in (1.0, 1e4):
        p = softmax(fitted.apply(logits * size))
        assert np.isfinite(p).all()
        assert p.sum(1) == pytest.approx(1)
    assert math.isfinite(nll(fitted.apply(logits * 1e4), [3] * 60))


@pytest.mark.parametrize("name", FITS)
def test_several_labels_a_row(name):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 3)) * 2
    labels = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)
    after = FITS[name](z * 3, labels).apply(z * 3)
    assert after.shape == z.shape
    assert nll(after, labels) == pytest.approx(nll(z, labels), abs=0.02)


def test_a_model_with_one_output_is_one_with_two():
    logits, labels = drawn(200, 2)
    one = logits[:, 1] - logits[:, 0]
    for name, fit in FITS.items():
        if name != "vector":  # its prior sees two columns, of which one is 0
            two = softmax(fit(logits, labels).apply(logits))
            assert softmax(fit(one, labels).apply(one)) == pytest.approx(two, abs=1e-6)
    assert np.isfinite(fit_vector_scaling(one, labels).apply(one)).all()


def test_the_table_of_methods_scores_rows_that_were_not_fitted_on():
    fitted, judged = (Predictions(*drawn(300, 3, seed, scale=3.0)) for seed in (1, 2))
    table = compare_methods(judged, fitted)
    assert list(table) == ["uncalibrated", *FITS]
    assert table["uncalibrated"] == evaluate_predictions(judged)
    scaled = fit_temperature(fitted.logits, fitted.labels).apply(judged.logits)
    assert table["temperature"] == pytest.approx(evaluate_predictions(Predictions(scaled, judged.labels)))
    assert table["temperature"]["accuracy"] == table["uncalibrated"]["accuracy"]
    crossed = compare_methods(judged, None, seed=1)
    assert crossed["uncalibrated"] == table["uncalibrated"]
    assert crossed["temperature"]["nll"] == pytest.approx(table["temperature"]["nll"], abs=0.02)
    # isotonic fits its own rows better than any others: halves must not show that
    assert crossed["isotonic"]["nll"] > nll(
        fit_isotonic(judged.logits, judged.labels).apply(judged.logits), judged.labels
    )


def test_mistakes():
    regression = Predictions(np.zeros((3, 1)), np.zeros(3), problem="regression")
    with pytest.raises(UserError, match="regression"):
        compare_methods(regression, None)
    with pytest.raises(UserError, match="no labels"):
        compare_methods(Predictions(np.zeros((3, 2)), None), None)
    for fit in FITS.values():
        with pytest.raises(UserError, match="row 0 is 3"):
            fit([[0.0, 1.0]], [3])
