"""Accuracy of the surest: by hand, against every order of equal confidences, and its laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import (
    MULTI,
    REGRESSION,
    Coverage,
    Predictions,
    accuracy_at,
    aurc,
    coverage_curve,
    fit_temperature,
)

few_values = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.9, 1.0]), st.booleans()), min_size=1, max_size=7)


def test_by_hand():
    # surest first: right, right, wrong, right, wrong; error rates 0, 0, 1/3, 1/4, 2/5
    curve = Coverage.of([0.6, 0.9, 0.95, 0.55, 0.7], [1, 1, 1, 0, 0])
    assert curve.coverage == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert curve.accuracy == pytest.approx([1, 1, 2 / 3, 3 / 4, 3 / 5])
    assert aurc(curve) == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert accuracy_at(curve, 0.8) == pytest.approx(3 / 4)
    assert accuracy_at(curve, 1.0) == pytest.approx(3 / 5)


@given(few_values)
@settings(max_examples=60, deadline=None)
def test_equal_confidences_count_as_the_mean_of_all_their_orders(rows):
    """A plain loop over every order that sorts by confidence, each with its own curve."""
    curves = []
    for order in itertools.permutations(rows):
        if all(a[0] >= b[0] for a, b in itertools.pairwise(order)):
            right = [r for _, r in order]
            curves.append([sum(right[:n]) / n for n in range(1, len(right) + 1)])
    found = Coverage.of(*zip(*rows, strict=True))
    assert found.accuracy == pytest.approx(np.mean(curves, axis=0))


@given(few_values, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_laws(rows, random):
    curve = Coverage.of(*zip(*rows, strict=True))
    accuracy = np.mean([right for _, right in rows])
    assert curve.accuracy[-1] == pytest.approx(accuracy)
    assert 0 <= aurc(curve) <= 1
    random.shuffle(rows)
    again = Coverage.of(*zip(*rows, strict=True))
    assert np.array_equal(again.accuracy, curve.accuracy), "the order of the rows matters"
    alike = Coverage.of([0.7] * len(rows), [right for _, right in rows])
    assert aurc(alike) == pytest.approx(1 - accuracy), "who cannot tell errors apart has its error rate at any coverage"


def test_the_best_order_is_least_and_the_worst_most():
    """Mistakes where the model is least sure: with e errors of n, the sum over the last e of k / (n - e + k) / n."""
    confidence = np.linspace(0.5, 0.99, 10)
    best, worst = np.arange(10) >= 3, np.arange(10) < 7
    areas = {1: aurc(Coverage.of(confidence, best)), -1: aurc(Coverage.of(confidence, worst))}
    assert areas[1] == pytest.approx(sum(k / (7 + k) for k in (1, 2, 3)) / 10)
    assert areas[-1] == pytest.approx(sum(min(n, 3) / n for n in range(1, 11)) / 10)


@pytest.mark.parametrize(
    ("number", "share", "kept"), [(10, 0.8, 8), (9, 0.8, 8), (10, 0.7, 7), (1, 0.8, 1), (3, 0.01, 1)]
)
def test_a_share_is_rounded_up_to_whole_rows(number, share, kept):
    right = np.arange(number) < 1  # one right, the surest
    assert accuracy_at(Coverage.of(np.linspace(0.99, 0.5, number), right), share) == pytest.approx(1 / kept)


def test_a_temperature_of_two_classes_keeps_the_curve():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 2)) * 3, rng.integers(2, size=200)
    temperature = fit_temperature(logits, labels)
    assert temperature.value != 1
    before, after = (coverage_curve(Predictions(z, labels)) for z in (logits, temperature.apply(logits)))
    assert after.accuracy == pytest.approx(before.accuracy)


def test_several_labels_a_row_are_decisions_of_their_own():
    p = Predictions(np.array([[2.0, -1.0], [0.5, 3.0]]), np.array([[1, 1], [0, 1]]), problem=MULTI)
    assert coverage_curve(p).accuracy == pytest.approx([1, 1, 2 / 3, 2 / 4])  # 3, 2, -1 (wrong), 0.5 (wrong)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Coverage.of([], []), "no rows"),
        (lambda: Coverage.of([0.5, math.nan], [1, 0]), "row 1"),
        (lambda: accuracy_at(Coverage.of([0.5], [1]), 0), "above 0 and at most 1"),
        (lambda: coverage_curve(Predictions(np.zeros(2), np.zeros(2), problem=REGRESSION)), "regression"),
        (lambda: coverage_curve(Predictions(np.zeros((2, 2)), None)), "no labels"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError, match=words):
        call()
