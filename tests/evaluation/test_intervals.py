"""Intervals: every resampled number against the same number of rows laid out, then what intervals must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made import CASES, SIGNED, make, sure_of, taken

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import (
    METRICS,
    MULTI,
    REGRESSION,
    SINGLE,
    Predictions,
    bin_confidences,
    bin_intervals,
    bootstrap,
    ece_by_chance,
    intervals,
    review,
)
from logitmix_hf.evaluation.resampled_metrics import MEASURES
from logitmix_hf.evaluation.resampled_scores import measures_of
from logitmix_hf.evaluation.resampling import resampled_rows, weights_of
from logitmix_hf.evaluation.scores import RANKED_METRICS


@pytest.mark.filterwarnings("ignore:A single label was found")  # scikit-learn, of a resample with one class
@pytest.mark.parametrize("rows", [1, 2, 5, 120])
@pytest.mark.parametrize("case", CASES)
def test_every_number_is_that_of_the_rows_laid_out(case, rows):
    """Two roads: sums over weights, and ``review`` (scikit-learn, SciPy, loops) of the rows that were drawn."""
    problem, classes, metrics = CASES[case]
    p = make(problem, classes, rows, posterior=problem != REGRESSION)
    drawn = next(resampled_rows(rows, 12, seed=3))
    weights = weights_of(drawn)
    found = {name: each for measure in measures_of(p, metrics, 15) for name, each in measure(weights).items()}
    for column in range(drawn.shape[1]):
        expected = review(taken(p, drawn[:, column]), metrics)
        expected.pop("ece_by_chance", None)  # no property of the labels
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            # the square root makes of rounding at 0 what is not
            close = pytest.approx(value, abs=1e-6 if name == "rmsce_debiased" else 1e-10, nan_ok=True)
            assert found[name][column] == close, name


def test_every_metric_can_be_resampled():
    assert {problem: set(table) for problem, table in MEASURES.items()} == {
        problem: set(table) | (set(RANKED_METRICS) if problem == SINGLE else set())
        for problem, table in METRICS.items()
    }


@pytest.mark.parametrize(("right", "rows"), [(20, 20), (0, 20), (1, 1), (7, 7)])
def test_an_accuracy_of_all_or_nothing_has_an_interval_that_is_no_point(right, rows):
    """Clopper and Pearson by hand: of n right of n the lower end x solves x**n = .025."""
    labels = np.zeros(rows, int)
    logits = np.tile([3.0, 0.0] if right else [0.0, 3.0], (rows, 1))
    found = bootstrap(Predictions(logits, labels, ("a", "b"), SINGLE), ("accuracy",), resamples=50)
    for name, count in (("accuracy", rows), ("accuracy_at_80", math.ceil(0.8 * rows))):
        end = 0.025 ** (1 / count)
        expected = (end, 1.0) if right else (0.0, 1 - end)
        assert (found[name].low, found[name].high) == pytest.approx(expected), name


@pytest.mark.parametrize("case", CASES)
def test_an_interval_of_each_number_that_holds_it(case):
    problem, classes, metrics = CASES[case]
    p = make(problem, classes)
    found = bootstrap(p, metrics, resamples=100)
    assert {name: each.value for name, each in found.items()} == review(p, metrics)
    assert list(found) == list(review(p, metrics))
    for name, each in found.items():
        assert each.low <= each.value <= each.high, name
        assert all(type(end) is float for end in (each.low, each.high))
        assert each.low >= 0 or name in SIGNED, name
    wider = bootstrap(p, metrics, resamples=100, level=0.99)
    assert all(wider[name].low <= each.low and wider[name].high >= each.high for name, each in found.items())


def test_accuracy_has_the_interval_that_theory_gives():
    """The bootstrap of a share p of N rows has the standard deviation sqrt(p (1 - p) / N)."""
    p = make(rows=2000)
    each = bootstrap(p, ("accuracy",), resamples=2000)["accuracy"]
    spread = math.sqrt(each.value * (1 - each.value) / 2000)
    assert each.low == pytest.approx(each.value - 1.96 * spread, abs=0.15 * spread)
    assert each.high == pytest.approx(each.value + 1.96 * spread, abs=0.15 * spread)


def test_ece_is_as_uncertain_as_it_is():
    """A model that is calibrated shows an ECE, and its interval reaches down to 0; of one that claims .1 more than it
    holds, the interval has the true error inside and 0 outside. Percentiles of the resamples would leave out both."""
    truth = np.random.default_rng(0).uniform(0.5, 0.85, size=1000)
    honest = bootstrap(sure_of(truth), resamples=200)
    boastful = bootstrap(sure_of(truth, shift=0.1), resamples=200)
    for name in ("ece", "ece_mass"):
        assert honest[name].value > 0.01
        assert honest[name].low == 0, name
        assert 0 < boastful[name].low < 0.1 < boastful[name].high, name
    assert honest["rmsce_debiased"].low == 0
    assert boastful["rmsce_debiased"].low > 0


def test_an_interval_lies_nearer_the_truth_than_an_inflated_score_does():
    """A model whose error is known, judged on few rows thirty times over: the scores are too high on average, and the
    middles of their intervals, which reach further down than up, are off by less than two thirds of that."""
    rng = np.random.default_rng(0)
    truth = review(sure_of(rng.uniform(0.5, 0.85, size=400_000), shift=0.1))
    found = [
        bootstrap(sure_of(rng.uniform(0.5, 0.85, size=150), seed=seed, shift=0.1), resamples=60) for seed in range(30)
    ]
    for name in sorted(intervals.INFLATED):
        inflation = np.mean([each[name].value for each in found]) - truth[name]
        middle = np.mean([(each[name].low + each[name].high) / 2 for each in found]) - truth[name]
        assert inflation > 0.003, name
        assert abs(middle) < inflation * 2 / 3, name


def test_ece_by_chance_has_the_range_of_a_calibrated_model():
    p = make(rows=300)
    chance = ece_by_chance(p.probabilities.max(axis=1))
    each = bootstrap(p)["ece_by_chance"]
    assert each.value == chance.mean
    assert (each.low, each.high) == pytest.approx((chance.point(0.025), chance.point(0.975)))


def test_rows_are_drawn_with_all_of_their_labels():
    """Labels said five times over tell nothing new: were they drawn one by one, intervals would shrink."""
    once = make(MULTI, 2, rows=100)
    again = Predictions(np.tile(once.logits, 5), np.tile(once.labels, 5), problem=MULTI)
    first, second = (bootstrap(p, ("f1_micro", "subset_accuracy"), resamples=60) for p in (once, again))
    for name in ("f1_micro", "subset_accuracy", "ece", "nll", "brier", "ece_classwise", "brier_reliability"):
        assert second[name].low == pytest.approx(first[name].low), name
        assert second[name].high == pytest.approx(first[name].high), name


def test_the_same_seed_gives_the_same_intervals_and_another_does_not():
    p = make()
    first = bootstrap(p, resamples=50)
    assert bootstrap(p, resamples=50) == first
    assert bootstrap(p, resamples=50, seed=1) != first


def test_blocks_of_resamples_are_as_many_as_asked():
    blocks = list(resampled_rows(200_000, 5, seed=0))
    assert sum(block.shape[1] for block in blocks) == 5
    assert all(weights_of(block).sum(axis=0) == pytest.approx(200_000) for block in blocks)
    together = np.concatenate(blocks, axis=1)
    assert len({column.tobytes() for column in together.T}) == 5, "two resamples are the same"


def test_many_classes_in_parts(monkeypatch):
    """A table of classes is taken a few at a time when it is large; the numbers are the same."""
    p = make(SINGLE, 9)
    whole = bootstrap(p, resamples=20)
    monkeypatch.setattr("logitmix_hf.evaluation.resampling.ENTRIES", 500)
    for name, each in bootstrap(p, resamples=20).items():
        assert (each.low, each.high) == pytest.approx((whole[name].low, whole[name].high), abs=1e-12), name


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("scheme", ["width", "mass"])
def test_the_interval_of_a_bin_against_scipy(level, scheme):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    counted = bin_confidences(rng.beta(5, 2, size=80), rng.integers(2, size=80), 10, scheme)
    low, high = bin_intervals(counted, level)
    for m, count in enumerate(counted.count.astype(int)):
        if count == 0:
            assert math.isnan(low[m])
            assert math.isnan(high[m])
            continue
        test = stats.binomtest(round(counted.accuracy[m] * count), count)
        expected = test.proportion_ci(level, method="wilson")
        assert (low[m], high[m]) == pytest.approx((expected.low, expected.high))


def test_a_correlation_without_spread_has_no_interval():
    p = Predictions(np.zeros(5), np.arange(5.0), problem=REGRESSION)
    found = bootstrap(p, resamples=20)
    assert math.isnan(found["pearson"].low)
    assert found["mse"].low < found["mse"].value < found["mse"].high


A = make()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap(Predictions(np.zeros((2, 2)), None)), "no labels"),
        (lambda: bootstrap(A, ("acuracy",)), "Did you mean 'accuracy'"),
        (lambda: bootstrap(A, resamples=0), "resamples must be a number at least 1"),
        (lambda: bootstrap(A, resamples=2.5), "whole number"),
        (lambda: bootstrap(A, level=1.0), "below 1"),
        (lambda: bootstrap(A, level=95), "at most 1"),
        (lambda: bin_intervals(bin_confidences([0.5], [1]), level=0), "above 0"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_which_scores_are_mirrored_is_said_for_names_that_exist():
    known = set(review(make()))
    assert known >= intervals.INFLATED | intervals.CENTRED | set(intervals.CHANCE)


def test_the_interval_of_a_largest_gap_stays_below_one():
    """One sure row that is wrong among many that are right: a resample without it has a small gap, which the basic
    interval would mirror to above 1."""
    logits = np.tile([[8.0, 0.0]], (60, 1))
    logits[0] = [2.5, 0.0]  # alone in its bin
    labels = np.zeros(60, int)
    labels[0] = 1
    found = bootstrap(Predictions(logits, labels), resamples=200)["mce"]
    assert found.value > 0.9
    assert found.value <= found.high <= 1
