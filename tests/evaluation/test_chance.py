"""What noise alone does to ECE: exact expectations, bins of equal mass, and the measure that noise does not raise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import bin_confidences, ece, ece_by_chance, rmsce_debiased


@pytest.mark.parametrize(("rows", "confidence"), [(1, 0.7), (5, 0.9), (40, 0.55)])
def test_the_mean_is_that_of_the_binomial(rows, confidence):
    """Rows of one confidence c share a bin: ECE is |c - X / n| with X binomial, whose mean and quantiles are known."""
    binom = pytest.importorskip("scipy.stats").binom(rows, confidence)
    x = np.arange(rows + 1)
    gap, weight = np.abs(confidence - x / rows), binom.pmf(x)
    chance = ece_by_chance([confidence] * rows, draws=20_000)
    mean = np.sum(gap * weight)
    spread = math.sqrt(np.sum((gap - mean) ** 2 * weight) / 20_000)
    assert chance.mean == pytest.approx(mean, abs=5 * spread)
    assert np.sum(weight[gap > chance.point(0.95) + 1e-12]) <= 0.06
    assert np.sum(weight[gap >= chance.point(0.95) - 1e-12]) >= 0.04


def test_it_falls_with_the_root_of_the_rows():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=6400)
    few, many = ece_by_chance(confidence[:400]).mean, ece_by_chance(confidence).mean
    assert few / many == pytest.approx(4, rel=0.1)


def test_a_calibrated_model_is_within_chance_and_a_boastful_one_beyond():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 0.9, size=1000)
    right = rng.random(1000) < truth
    assert ece(bin_confidences(truth, right)) < ece_by_chance(truth).point(0.95)
    assert ece(bin_confidences(truth + 0.1, right)) > ece_by_chance(truth + 0.1).point(0.95)


def test_it_is_seeded_and_knows_no_order_of_the_rows():
    confidence = np.random.default_rng(0).uniform(0.5, 1, size=300)
    first = ece_by_chance(confidence, draws=50)
    assert np.array_equal(ece_by_chance(confidence[::-1], draws=50).draws, first.draws)
    assert not np.array_equal(ece_by_chance(confidence, draws=50, seed=1).draws, first.draws)
    assert first.draws.shape == (50,)


@pytest.mark.parametrize(("rows", "bins"), [(60, 15), (61, 4), (7, 7), (3, 5)])
def test_bins_of_equal_mass_are_slices_of_the_sorted_rows(rows, bins):
    rng = np.random.default_rng(rows)
    confidence, right = rng.random(rows), rng.integers(2, size=rows)
    order = np.argsort(confidence)
    counted = bin_confidences(confidence, right, bins, "mass")
    ends = [math.ceil(m * rows / bins) for m in range(bins + 1)]
    slices = [order[a:b] for a, b in itertools.pairwise(ends)]
    assert counted.count.tolist() == [len(some) for some in slices]
    assert np.ptp(counted.count) <= 1
    expected = sum(abs(confidence[s].sum() - right[s].sum()) for s in slices) / rows
    assert ece(counted) == pytest.approx(expected)


def test_equal_confidences_stay_in_one_bin_of_equal_mass():
    right = np.arange(20) % 2
    counted = bin_confidences([0.8] * 20, right, 5, "mass")
    assert sorted(counted.count.tolist()) == [0, 0, 0, 0, 20]
    assert ece(counted) == pytest.approx(0.3)


SHARE = st.floats(0, 1).map(lambda share: round(share, 9))  # SciPy's binomial overflows at the smallest floats


@given(st.lists(st.tuples(st.integers(2, 6), SHARE, SHARE), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_debiased_square_is_right_on_average(bins):
    """Over all outcomes of bins of (n, confidence, true accuracy), weighted by their probability: the mean of the square
    before it is cut at 0 is the true squared error. A loop over binomials; the formula of Kumar et al., section 5."""
    binom = pytest.importorskip("scipy.stats").binom
    total = sum(n for n, _, _ in bins)
    truth = sum(n * (confidence - accuracy) ** 2 for n, confidence, accuracy in bins) / total
    mean = 0.0
    for n, confidence, accuracy in bins:
        for x in range(n + 1):
            a = x / n
            mean += binom(n, accuracy).pmf(x) * n * ((confidence - a) ** 2 - a * (1 - a) / (n - 1)) / total
    assert mean == pytest.approx(truth, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.35, 0.55, 0.95]), st.booleans()), min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_debiased_root_is_that_formula(rows):
    confidence, right = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    squares = used = 0.0
    for value in set(confidence):
        inside = right[confidence == value]
        n, a = len(inside), inside.mean()
        if n > 1:
            used += n
            squares += n * ((value - a) ** 2 - a * (1 - a) / (n - 1))
    found = rmsce_debiased(bin_confidences(confidence, right, 10))
    expected = math.sqrt(max(squares, 0) / used) if used else math.nan
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ece_by_chance([]), "no rows"),
        (lambda: ece_by_chance([0.5, 1.2]), "row 1"),
        (lambda: ece_by_chance([0.5], draws=0), "at least 1"),
        (lambda: ece_by_chance([0.5], bins=0), "at least 1"),
        (lambda: ece_by_chance([0.5], scheme="masses"), "Did you mean 'mass'"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError, match=words):
        call()
