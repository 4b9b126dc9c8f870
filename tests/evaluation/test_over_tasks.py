"""Ranks and tests over tasks: against SciPy's analysis of variance, statsmodels, autorank and baycomp, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from logitmix_hf.evaluation.over_tasks import bayesian_signed_rank, borda, holm, iman_davenport, ranks, wilcoxon_p

RNG = np.random.default_rng(5)
SCORES = RNG.normal(size=(11, 1)) + RNG.normal(size=(11, 4)) + [0.0, 0.2, 0.9, 0.4]
TIED = np.round(SCORES, 0)


def test_holms_correction_by_hand():
    """Four tests: the smallest times 4, the next times 3, …; never below the one before, never above 1."""
    assert holm([0.03, 0.01, 0.04, 0.6]) == pytest.approx([0.09, 0.04, 0.09, 0.6])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_was_not_tested_is_not_counted():
    found = holm([0.01, math.nan, 0.04])
    assert found[0] == pytest.approx(0.02)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.04)


def test_holm_as_statsmodels_has_it():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p = np.random.default_rng(seed).random(9) ** 3
        assert holm(list(p)) == pytest.approx(list(multitest.multipletests(p, method="holm")[1]))


def test_ranks_and_points_by_hand():
    scores = np.array([[0.9, 0.8, 0.8], [0.1, 0.3, 0.2]])
    assert ranks(scores).tolist() == [[1, 2.5, 2.5], [3, 1, 2]]
    assert borda(scores).tolist() == [2 + 0, 0.5 + 2, 0.5 + 1]


@pytest.mark.parametrize("scores", [SCORES, TIED], ids=["no ties", "ties"])
def test_iman_and_davenports_f_is_that_of_an_analysis_of_variance_of_the_ranks(scores):
    found = iman_davenport(scores)
    placed = stats.rankdata(-scores, axis=1)
    tasks, methods = placed.shape
    between = tasks * ((placed.mean(axis=0) - placed.mean()) ** 2).sum()
    rest = ((placed - placed.mean(axis=0) - placed.mean(axis=1, keepdims=True) + placed.mean()) ** 2).sum()
    expected = (between / (methods - 1)) / (rest / ((methods - 1) * (tasks - 1)))
    assert found is not None
    assert found.f == pytest.approx(expected)
    assert found.df == (3, 30)
    assert found.p == pytest.approx(1 - stats.f.cdf(expected, 3, 30))


def test_demsars_numbers():
    """JMLR 7, 2006, section 3.2.2: 14 data sets, 4 methods, chi2 9.28 make F 3.69; here chi2 by the same formula."""
    found = iman_davenport(SCORES)
    assert found is not None
    assert found.f == pytest.approx(10 * found.chi2 / (11 * 3 - found.chi2))
    assert pytest.approx(3.69, abs=0.005) == 13 * 9.28 / (14 * 3 - 9.28)


def test_tasks_that_all_agree_and_tasks_that_say_nothing():
    same = iman_davenport(np.tile([1.0, 2.0, 3.0], (6, 1)))
    assert same is not None
    assert (same.f, same.p) == (math.inf, 0.0)
    nothing = iman_davenport(np.ones((6, 3)))
    assert nothing is not None
    assert nothing.p == 1.0
    assert iman_davenport(np.ones((6, 2))) is None


def test_wilcoxon_by_hand():
    """Six tasks, all one way: 2 of 2^6 signs are as extreme. Equal methods are no error."""
    gains = np.arange(1, 7) / 10
    assert wilcoxon_p(gains, np.zeros(6)) == pytest.approx(2 / 64)
    assert wilcoxon_p(np.ones(6), np.ones(6)) == 1.0


def test_autorank_agrees_on_ranks_and_on_friedman(recwarn):
    autorank = pytest.importorskip("autorank")
    import pandas as pd

    frame = pd.DataFrame(SCORES, columns=list("abcd"))
    judged = autorank.autorank(frame, alpha=0.05, verbose=False, force_mode="nonparametric")
    assert dict(judged.rankdf["meanrank"]) == pytest.approx(dict(zip("abcd", ranks(SCORES).mean(axis=0), strict=True)))
    found = iman_davenport(SCORES)
    assert found is not None
    assert stats.chi2.sf(found.chi2, 3) == pytest.approx(judged.pvalue)  # Friedman's own, before Iman and Davenport


def test_baycomp_agrees_on_the_bayesian_signed_rank_test():
    baycomp = pytest.importorskip("baycomp")
    for rope in (0.1, 0.3, 0.8):
        expected = baycomp.SignedRankTest.probs(SCORES[:, 2], SCORES[:, 1], rope=rope, nsamples=20_000)
        found = bayesian_signed_rank(SCORES[:, 2], SCORES[:, 1], rope)
        assert (found.a, found.alike, found.b) == pytest.approx(tuple(map(float, expected)), abs=0.02)


def test_the_bayesian_test_of_one_task_by_hand():
    """Of 0 + 0, 0 + d and d + d the last alone is above 2 rope, where rope < d <= 2 rope: w^2 > 1/2 with w ~ Beta(1, 1/2)."""
    found = bayesian_signed_rank(np.array([1.5]), np.array([0.0]), 1.0, draws=200_000)
    ahead = stats.beta.sf(0.5**0.5, 1, 0.5)
    assert (found.a, found.alike, found.b) == pytest.approx((ahead, 1 - ahead, 0.0), abs=0.005)


def test_the_bayesian_test_by_its_law():
    z = SCORES[:, 2] - SCORES[:, 1]
    found, turned = bayesian_signed_rank(z, 0 * z, 0.1), bayesian_signed_rank(0 * z, z, 0.1)
    assert found.a + found.alike + found.b == pytest.approx(1.0)
    assert (found.a, found.b) == pytest.approx((turned.b, turned.a), abs=1e-12)
    assert bayesian_signed_rank(z, 0 * z, 100.0).alike == 1.0
    assert bayesian_signed_rank(np.full(8, 9.0), np.zeros(8), 0.1).a > 0.99
