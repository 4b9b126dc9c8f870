"""Two runs on the same rows: what their difference must be, and when it must not be called one."""

from __future__ import annotations

import numpy as np
import pytest
from made import CASES, make, sure_of, taken

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, SINGLE, Predictions, bootstrap, compare, review


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


@pytest.mark.parametrize("resamples", [1, 19, 99])
def test_no_difference_is_surer_than_the_resamples_can_tell(resamples):
    """Right in every row against wrong in every row, in each resample: p counts what was seen among the resamples, so
    with R of them none is below 2 / (R + 1) (Davison and Hinkley 1997, section 4.2.5); 19 are the fewest for .1."""
    labels = np.arange(50) % 2
    right, wrong = (Predictions(np.eye(2)[guess] * 3, labels) for guess in (labels, 1 - labels))
    for pair in ((right, wrong), (wrong, right)):
        for name in ("accuracy", "nll"):
            found = compare(*pair, metrics=("accuracy",), resamples=resamples)[name]
            assert found.p == pytest.approx(2 / (resamples + 1)), name


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


A = make()


@pytest.mark.parametrize(
    ("call", "words"),
    [
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
