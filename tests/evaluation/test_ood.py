"""Telling rows of no class from the own data, against counting by hand and laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, Predictions
from logitmix_hf.evaluation.ood import energy, entropy, max_probability, ood_measures, ood_scores


def of(logits, problem="single_label_classification"):
    return Predictions(np.asarray(logits, dtype=float), None, problem=problem)


def normal(rows, scale, seed, classes=4):
    return of(np.random.default_rng(seed).normal(0, scale, (rows, classes)))


def test_measures_counted_by_hand():
    """Four rows of the own data, two of no class, at .9 and .3: of the eight pairs seven are in order."""
    own, ood = np.array([0.1, 0.2, 0.25, 0.5]), np.array([0.9, 0.3])
    found = ood_measures(own, ood)
    assert found["auroc"] == pytest.approx(7 / 8)
    # from the top: .9 (found), .5 (wrong), .3 (found): precision 1 at recall 1/2, 2/3 at recall 1
    assert found["aupr_out"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # from the bottom: .1 .2 .25 are own (precision 1 to recall 3/4), .3 is not, .5 is: 4/5 at recall 1
    assert found["aupr_in"] == pytest.approx(0.75 + 0.25 * 4 / 5)
    assert found["fpr95"] == pytest.approx(1 / 4)  # to find both, the threshold is .3, and .5 lies above


def test_a_threshold_finds_at_least_95_percent():
    """20 rows of no class: 19 of them are 95 %, so the lowest one may be missed."""
    own, ood = np.array([5.0, 0.5]), np.concatenate([[0.0], np.arange(1, 20)])
    assert ood_measures(own, ood)["fpr95"] == pytest.approx(1 / 2)
    assert ood_measures(own, ood[[0, *range(1, 19)]])["fpr95"] == 1.0  # of 19, 18 are 94.7 %


def test_auroc_is_the_statistic_of_mann_and_whitney_ties_and_all():
    rng = np.random.default_rng(0)
    own, ood = rng.integers(0, 6, 50).astype(float), rng.integers(2, 9, 31).astype(float)
    expected = stats.mannwhitneyu(ood, own).statistic / (50 * 31)
    assert ood_measures(own, ood)["auroc"] == pytest.approx(expected)


def test_scores_of_rows():
    p = of([[np.log(8.0), np.log(1.0), np.log(1.0)], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(max_probability(p), [-0.8, -1 / 3])
    np.testing.assert_allclose(entropy(p), [stats.entropy([0.8, 0.1, 0.1]), np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(energy(p), [-np.log(10), -np.log(3)], rtol=1e-6)


def test_scores_of_several_labels_a_row():
    p = of([[np.log(4.0), np.log(0.25)]], MULTI)  # sigmoids .8 and .2
    np.testing.assert_allclose(max_probability(p), [-0.8])
    np.testing.assert_allclose(entropy(p), [2 * stats.entropy([0.8, 0.2])], rtol=1e-6)
    np.testing.assert_allclose(energy(p), [-np.log(5.0) - np.log(1.25)], rtol=1e-6)


def test_a_clear_yes_is_at_home_among_several_labels():
    p = of([[6.0, -6.0], [0.1, -0.1]], MULTI)
    for score in (max_probability, entropy, energy):
        assert score(p)[0] < score(p)[1]


def test_the_same_rows_on_both_sides_are_chance():
    p = normal(200, 2.0, 0)
    found = ood_scores(p, p)
    assert {key for key in found if key.endswith("auroc")} == {
        "max_probability_auroc",
        "entropy_auroc",
        "energy_auroc",
    }
    for key, value in found.items():
        if key.endswith("auroc"):
            assert value == pytest.approx(0.5)
        if key.endswith("aupr_out"):
            assert 0.5 <= value < 0.51  # ties are taken together: the share of the positives, and a little


def test_rows_that_are_surer_are_at_home():
    found = ood_scores(normal(300, 6.0, 0), normal(200, 0.5, 1))
    assert min(found[f"{score}_auroc"] for score in ("max_probability", "entropy", "energy")) > 0.8
    turned = ood_scores(normal(200, 0.5, 1), normal(300, 6.0, 0))
    for score in ("max_probability", "entropy", "energy"):
        assert turned[f"{score}_auroc"] == pytest.approx(1 - found[f"{score}_auroc"])


def test_one_temperature_moves_probabilities_and_energy_but_two_classes_keep_their_order():
    """Of two classes both probability and entropy are functions of one difference, whatever divides it."""
    own, ood = normal(100, 3.0, 0, 2), normal(80, 1.0, 1, 2)
    hot = [of(p.logits / 3) for p in (own, ood)]
    before, after = ood_scores(own, ood), ood_scores(*hot)
    for key in ("max_probability_auroc", "entropy_auroc"):
        assert after[key] == pytest.approx(before[key], abs=1e-3)
    assert after["energy_auroc"] != before["energy_auroc"]


def test_what_cannot_be_told_apart():
    p = normal(5, 1.0, 0)
    with pytest.raises(UserError, match="regression"):
        ood_scores(of([[1.0]], REGRESSION), of([[1.0]], REGRESSION))
    with pytest.raises(UserError, match="4 classes"):
        ood_scores(p, normal(5, 1.0, 0, 3))
    with pytest.raises(UserError, match="no rows"):
        ood_scores(p, of(np.zeros((0, 4))))
