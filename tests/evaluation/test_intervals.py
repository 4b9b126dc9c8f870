"""Intervals: every resampled number against the same number of rows laid out, then what intervals must be."""

from __future__ import annotations

import math

import numpy as np
import pytest

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
    compare,
    ece_by_chance,
    intervals,
    review,
)
from logitmix_hf.evaluation.resampled_metrics import MEASURES
from logitmix_hf.evaluation.resampling import resampled_rows, weights_of
from logitmix_hf.evaluation.scores import RANKED_METRICS
from logitmix_hf.evaluation.weighing import measures_of

CASES = {
    "two classes": (SINGLE, 2, ("accuracy", "f1", "f1_macro", "f1_micro", "matthews_correlation", "top5_accuracy")),
    "seven classes": (SINGLE, 7, ("accuracy", "f1_macro", "f1_micro", "matthews_correlation", "top5_accuracy")),
    "several labels": (MULTI, 3, ("f1_micro", "f1_macro", "subset_accuracy")),
    "regression": (REGRESSION, 1, ("pearson", "spearmanr", "mse", "mae")),
}


SIGNED = {"confidence_gap", "brier_resolution", "pearson", "spearmanr", "matthews_correlation"}


def make(problem=SINGLE, classes=2, rows=200, seed=0, posterior=False):
    """Rounded, so that confidences, ranks and logits have ties."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).round(1) * 2
    labels = {
        SINGLE: lambda: rng.integers(classes, size=rows),
        MULTI: lambda: rng.integers(2, size=(rows, classes)),
        REGRESSION: lambda: (logits[:, 0] + rng.normal(size=rows)).round(1),
    }[problem]()
    q = {SINGLE: lambda: rng.dirichlet(np.ones(classes), rows), MULTI: lambda: rng.random((rows, classes))}
    return Predictions(logits, labels, problem=problem, posterior=q[problem]() if posterior else None)


def taken(p, rows):
    posterior = None if p.posterior is None else p.posterior[rows]
    return Predictions(p.logits[rows], p.labels[rows], problem=p.problem, posterior=posterior)


def sure_of(truth, seed=7, shift=0.0):
    """Two-class predictions with the confidences (N,) truth + shift, right with the probability truth."""
    rng = np.random.default_rng(seed)
    z = np.log((truth + shift) / (1 - truth - shift))
    return Predictions(np.stack([0 * z, z], axis=1), (rng.random(len(z)) < truth).astype(int))


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


def test_a_run_does_not_differ_from_itself():
    for problem, classes, metrics in CASES.values():
        p = make(problem, classes)
        for name, each in compare(p, p, metrics, resamples=30).items():
            assert (each.value, each.low, each.high, each.p) == (0, 0, 0, 1), name


def test_a_difference_turns_with_its_runs():
    a, b = make(seed=0), make(seed=1)
    b = Predictions(b.logits, a.labels)
    there, back = compare(a, b, resamples=200), compare(b, a, resamples=200)
    for name, each in there.items():
        assert back[name].value == pytest.approx(-each.value)
        assert (back[name].low, back[name].high) == pytest.approx((-each.high, -each.low)), name
        assert back[name].p == pytest.approx(each.p), name


def test_the_p_value_belongs_to_the_interval():
    """Below 1 - level just where the interval leaves out 0, but for the steps of the resamples; value = a - b."""
    truth = np.random.default_rng(0).uniform(0.6, 0.9, size=400)
    seen = set()
    for shift in (0.0, 0.02, 0.05, 0.08):
        a, b = sure_of(truth, shift=shift), sure_of(truth)
        values = review(a), review(b)
        for name, each in compare(a, b, resamples=300).items():
            assert each.value == pytest.approx(values[0][name] - values[1][name])
            assert each.low <= each.value <= each.high
            if not 0.03 < each.p < 0.07:
                outside = each.low > 0 or each.high < 0
                assert outside == (each.p < 0.05), name
                seen.add(outside)
    assert seen == {True, False}


def test_a_gain_that_is_real_and_one_that_is_not():
    truth = np.random.default_rng(0).uniform(0.6, 0.85, size=1500)
    good, boastful = sure_of(truth), sure_of(truth, shift=0.1)
    found = compare(boastful, good, resamples=400)
    assert found["ece"].low > 0.03
    assert found["ece"].p < 0.01
    assert found["nll"].low > 0
    assert (found["accuracy"].value, found["accuracy"].p) == (0, 1)
    jittered = Predictions(good.logits + np.random.default_rng(1).normal(size=good.logits.shape) * 0.01, good.labels)
    assert compare(jittered, good, resamples=400)["ece"].p > 0.05


def test_pairing_tells_what_two_separate_intervals_cannot():
    """One row in fifty is right only for the better run: next to nothing beside the noise of each, certain in pairs."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=1000)
    worse = np.where(rng.random(1000) < 0.25, 1 - labels, labels)
    better = np.where(np.arange(1000) % 20 == 0, labels, worse)
    a, b = (Predictions(np.eye(2)[guess], labels) for guess in (better, worse))
    alone = bootstrap(a)["accuracy"], bootstrap(b)["accuracy"]
    assert alone[0].low < alone[1].high, "apart they overlap"
    assert compare(a, b)["accuracy"].p < 0.01


def test_rows_are_matched_by_their_number():
    a, b = make(seed=0), make(seed=1)
    b = Predictions(b.logits, a.labels)
    order = np.random.default_rng(0).permutation(len(b))
    shuffled = Predictions(b.logits[order], b.labels[order], idx=order)
    assert compare(a, shuffled, resamples=40) == compare(a, b, resamples=40)


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
        (lambda: compare(A, taken(A, slice(100))), "200 and 100 rows, of which 100 are the same"),
        (lambda: compare(A, Predictions(A.logits, 1 - A.labels)), "of row 0 they are"),
        (lambda: compare(A, make(SINGLE, 3)), "3 outputs"),
        (lambda: compare(A, make(MULTI, 2)), "multi_label_classification of 2"),
        (
            lambda: compare(
                *(Predictions(A.logits, A.labels, label_names=names) for names in (("no", "yes"), ("yes", "no")))
            ),
            "classes of the two runs differ",
        ),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_which_scores_are_mirrored_is_said_for_names_that_exist():
    known = set(review(make()))
    assert known >= intervals.INFLATED | intervals.CENTRED | set(intervals.CHANCE)


def test_equal_runs_seldom_seem_to_differ():
    """Pairs of calibrated models with noise of their own, equally good by design: p < .1 in no more than 1 of 10, give
    or take (at a true rate of .1, 40 pairs have 6 or fewer alarms in 90 % of cases; mirrored intervals gave 11)."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        q = rng.beta(1, 1, size=300)
        labels, z = (rng.random(300) < q).astype(int), np.log(q / (1 - q))
        runs = [0.9 * (z + rng.normal(size=300) * 0.5) for _ in range(2)]
        a, b = (Predictions(np.stack([0 * z, run], axis=1), labels) for run in runs)
        alarms += compare(a, b, resamples=100)["ece_mass"].p < 0.1
    assert alarms <= 6, alarms
