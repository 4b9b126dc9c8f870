"""Differences over seeds and rows: against SciPy, by hand, and by counting how often nothing is called something."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.null_studies import count
from logitmix_hf.evaluation import Predictions, compare
from logitmix_hf.evaluation import paired as module
from logitmix_hf.evaluation.paired import SeedScores, paired_difference, sign_flip_p
from logitmix_hf.evaluation.resampled_scores import drawn_scores


def scores(by_row: np.ndarray, draws: int = 4000, seed: int = 0) -> SeedScores:
    """Means of (R, N) over rows, and over the same draws of rows for the same seed."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(by_row.shape[1], size=(draws, by_row.shape[1]))
    return SeedScores(by_row.mean(axis=1), np.stack([run[picked].mean(axis=1) for run in by_row]))


@pytest.mark.parametrize("seeds", [2, 3, 5, 6, 9])
def test_the_sign_flip_test_counts_every_flip(seeds):
    d = np.random.default_rng(seeds).normal(0.3, 1.0, seeds)
    means = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=seeds)]
    expected = np.mean([mean >= abs(d.sum()) - 1e-12 for mean in means])
    assert sign_flip_p(d) == pytest.approx(expected, abs=1e-12)


def test_five_seeds_cannot_go_below_a_sixteenth_and_six_can():
    assert [sign_flip_p(np.arange(1.0, 1 + seeds)) for seeds in (3, 5, 6)] == [0.25, 0.0625, 0.03125]
    assert np.isnan(sign_flip_p(np.array([0.4])))
    assert sign_flip_p(np.zeros(6)) == 1.0


def test_many_seeds_on_rows_that_do_not_matter_give_students_interval():
    d = np.random.default_rng(1).normal(0.5, 2.0, 40)
    still = np.zeros((40, 20_000))
    found = paired_difference(SeedScores(d, still + d[:, None]), SeedScores(0 * d, still))
    low, high = stats.ttest_1samp(d, 0).confidence_interval()
    assert found.value == pytest.approx(d.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_rows_alone_give_the_normal_interval_and_one_seed_is_what_compare_says():
    labels = np.random.default_rng(0).integers(0, 2, 300)
    rng = np.random.default_rng(1)
    a, b = (Predictions(rng.normal(size=(300, 2)) + size * np.eye(2)[labels], labels) for size in (2.0, 0.5))
    drawn = drawn_scores([a, b], ["accuracy", "nll", "ece"], ["accuracy"], 15, 1000, 0)
    told = compare(a, b, ["accuracy"])
    for name in ("accuracy", "nll", "ece"):
        one, other = (
            SeedScores(np.array([each]), run[name][None])
            for each, run in zip((told[name].value, 0.0), drawn, strict=True)
        )
        found = paired_difference(one, other, centred=name == "ece")
        assert (found.value, found.low, found.high) == pytest.approx(
            (told[name].value, told[name].low, told[name].high), abs=1e-12
        )
        assert np.isnan(found.p)
    right = (a.predictions == labels).astype(float) - (b.predictions == labels)
    half = stats.norm.ppf(0.975) * right.std() / np.sqrt(300)
    found = paired_difference(scores(right[None]), scores(np.zeros((1, 300))))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    # the least difference found four times of five: 1.96 + 0.84 standard errors
    assert found.resolvable == pytest.approx((1.9600 + 0.8416) * right.std() / np.sqrt(300), rel=0.08)


def test_a_draw_of_rows_is_the_same_for_both_methods():
    """What is hard for both is no noise: without seeds' or rows' own effect the difference is a constant."""
    rows = np.random.default_rng(0).normal(size=(6, 200))
    found = paired_difference(scores(rows + 0.25), scores(rows))
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.off_zero
    assert found.p == 2 / 2**6


def test_the_share_of_seeds_that_win_counts_ties_half():
    a, b = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.8, 0.8, 0.8, 0.5])
    still = np.zeros((4, 4000))
    found = paired_difference(SeedScores(a, still + a[:, None]), SeedScores(b, still + b[:, None]))
    assert found.won.value == (1 + 0.5 + 0 + 1) / 4
    assert (found.won.low, found.won.high) == (0.25, 1.0)  # of 4 draws of 1, ½, 0, 1 only 5 in 256 are below a quarter
    assert not found.meaningful
    sure = paired_difference(SeedScores(a + 1, still + a[:, None] + 1), SeedScores(b, still + b[:, None]))
    assert (sure.won.low, sure.won.high) == (1.0, 1.0)
    assert sure.meaningful


def test_less_is_better_is_told_by_the_sign():
    rows = np.random.default_rng(0).normal(size=(3, 50))
    one, other = scores(rows + 0.1), scores(rows)
    assert paired_difference(one.signed(-1), other.signed(-1)).value == pytest.approx(-0.1)


def test_a_score_that_is_not_there_is_no_difference():
    found = paired_difference(
        SeedScores(np.array([0.1, np.nan]), np.ones((2, 50))), SeedScores(np.zeros(2), np.ones((2, 50)))
    )
    assert np.isnan([found.value, found.low, found.p, found.won.value]).all()
    assert not found.off_zero
    assert not found.meaningful


@pytest.mark.parametrize("seeds", [3, 6, 10])
@pytest.mark.parametrize("regime", ["rows", "seeds"])
def test_where_nothing_differs_bold_is_rare(seeds, regime):
    """At most 6 % in 2,000 studies (``benchmarks/null_studies.py``, docs/RELIABILITY.md); here 150, with the chance that
    150 leave: 1 in 1,000 that a true 6 % has 20."""
    found = count(seeds, regime, "mean", studies=150, draws=400)
    assert found.bold <= 19
    assert found.interval <= 19
    assert seeds >= 6 or found.bold == 0  # three seeds have no p below .25


def test_without_the_widening_three_seeds_find_something_in_nothing(monkeypatch):
    monkeypatch.setattr(module, "widening", lambda *_: 1.0)
    assert count(3, "seeds", "mean", studies=150, draws=400).interval > 22
