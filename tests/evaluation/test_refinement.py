"""NLL after a cross-fitted temperature: by SciPy, its laws, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from logitmix_hf.evaluation import MULTI, REGRESSION, Predictions, better, second_half
from logitmix_hf.evaluation.refinement import refinement


def rows(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Over-confident logits of three classes, about two in three right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    return (rng.normal(size=(count, 3)) + 1.2 * np.eye(3)[labels]) * 3, labels


def surprise(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]


def test_each_half_is_judged_at_the_temperature_of_the_other_by_scipy():
    logits, labels = rows()
    half, total = second_half(len(labels)), 0.0
    for judged in (half, ~half):
        fitted = minimize_scalar(
            lambda t, on=~judged: surprise(logits[on] / t, labels[on]).mean(), bounds=(0.1, 10), method="bounded"
        )
        total += surprise(logits[judged] / fitted.x, labels[judged]).sum()
    (found,) = refinement(Predictions(logits, labels)).values()
    assert found == pytest.approx(total / len(labels), abs=1e-6)
    assert found < surprise(logits, labels).mean() - 0.05


def test_no_temperature_changes_it():
    logits, labels = rows()
    every = [refinement(Predictions(logits * scale, labels))["nll_refined"] for scale in (0.2, 1.0, 4.0)]
    assert every == pytest.approx([every[0]] * 3, rel=1e-9)


def test_logits_that_say_nothing_are_worth_even_odds_and_more_signal_is_worth_less():
    logits, labels = rows(4000)
    noise = np.random.default_rng(1).normal(size=logits.shape)
    nothing, some = (refinement(Predictions(z, labels))["nll_refined"] for z in (noise, logits))
    assert nothing == pytest.approx(np.log(3), abs=0.01)
    assert some < nothing
    assert better("eval_nll_refined") == -1


def test_several_labels_are_decisions_and_a_regression_has_none():
    logits, labels = rows()
    several = refinement(Predictions(logits, np.eye(3, dtype=int)[labels], problem=MULTI))
    assert 0 < several["nll_refined"] < np.log(2)
    assert refinement(Predictions(logits[:, :1], logits[:, 0], problem=REGRESSION)) == {}
    assert refinement(Predictions(logits, None)) == {}
    assert refinement(Predictions(logits[:1], labels[:1])) == {}
