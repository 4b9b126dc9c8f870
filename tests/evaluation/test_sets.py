"""Sets of classes: the promised coverage on simulated data, by hand, and as crepes makes them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest
from test_recalibration import drawn

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, Predictions, fit_temperature
from logitmix_hf.evaluation.decisions import softmax
from logitmix_hf.evaluation.recalibration import fit_vector_scaling
from logitmix_hf.evaluation.scaling import Scaling
from logitmix_hf.evaluation.sets import LEVELS, Sets, fit_sets, judge_sets


def fitted(logits, labels, before: Scaling | None = None) -> Sets:
    found = fit_sets(Predictions(logits, labels), before or Scaling())
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["over-confident", "shifted"])
def test_coverage_of_200_data_sets_is_within_its_binomial_interval(kind):
    """One new row for each data set makes the trials independent: of 200 rows 90 % are covered, or a little more, since
    100 rows give steps of 1 / 101. The calibration, fitted on the very rows, takes nothing away."""
    hits, many = 0, []
    for seed in range(200):
        spoilt = {"scale": 4.0} if kind == "over-confident" else {"shift": np.array([2.0, 0.0, -1.0])}
        logits, labels = drawn(140, 3, seed, **spoilt)
        rows, new = slice(0, 100), slice(100, None)
        fit = fit_temperature if kind == "over-confident" else fit_vector_scaling
        made = fit(logits[rows], labels[rows])
        scaling = Scaling(made.value) if kind == "over-confident" else made.scaling  # type: ignore[union-attr]
        inside = fitted(logits[rows], labels[rows], scaling).members(scaling.apply(logits[new]), 0.9)
        right = inside[np.arange(40), labels[new]]
        hits, many = hits + int(right[0]), [*many, right.mean()]
    interval = binomtest(hits, 200).proportion_ci(0.99)
    assert interval.low <= 0.9 + 1 / 101
    assert interval.high >= 0.9
    assert np.mean(many) == pytest.approx(91 / 101, abs=0.01)


def test_by_hand():
    """Nine rows whose true class has the probability .1, .2 … .9: at 80 % the eighth smallest score of ten places, p = .2."""
    p = np.arange(1, 10) / 10
    sets = fitted(np.log(np.stack([p, 1 - p], 1)), np.zeros(9, int))
    inside = sets.members(np.log([[0.19, 0.81], [0.21, 0.79], [0.5, 0.5]]), 0.8)
    assert inside.tolist() == [[False, True], [True, True], [True, True]]


def test_the_same_sets_as_crepes():
    crepes = pytest.importorskip("crepes")
    logits, labels = drawn(137, 4)
    new, _ = drawn(50, 4, 1)
    theirs = crepes.ConformalClassifier()
    theirs.fit(1 - softmax(logits)[np.arange(137), labels])
    for level in (0.5, 0.8, 0.9, 0.95):
        expected = theirs.predict_set(1 - softmax(new), confidence=level, smoothing=False)
        assert np.array_equal(fitted(logits, labels).members(new, level), np.asarray(expected, bool))


def test_more_coverage_takes_more_classes_and_a_level_between_two_is_rounded_up():
    sets = fitted(*drawn(200, 4))
    new, _ = drawn(100, 4, 1)
    each = [sets.members(new, level) for level in LEVELS]
    for fewer, more in pairwise(each):
        assert (fewer <= more).all()
    assert np.array_equal(sets.members(new, 0.901), sets.members(new, 0.91))


def test_too_few_rows_are_refused_in_one_line():
    sets = fitted(*drawn(18))
    assert sets.limit(0.9) > 0
    with pytest.raises(
        UserError, match="needs at least 19 calibration rows, and this model kept 18: ask for at most 0.94"
    ):
        sets.limit(0.95)
    assert fitted(*drawn(19)).limit(0.95) > 0
    for level in (0, 1.5, 0.999):
        with pytest.raises(UserError):
            sets.limit(level)


def test_what_is_written_is_read():
    scaling = Scaling(scale=np.array([1.0, 2.0, 0.5]), shift=np.array([0.0, 1.0, -1.0]))
    logits, labels = drawn(60)
    sets = fitted(logits, labels, scaling)
    again = Sets.read(sets.record())
    assert again is not None
    assert np.array_equal(again.members(scaling.apply(logits), 0.8), fitted(logits, labels).members(logits, 0.8))
    assert Sets.read(None) is None
    with pytest.raises(UserError):
        Sets.read({"rows": 3})
    assert fit_sets(Predictions(logits, (logits > 0).astype(int), problem=MULTI)) is None


def test_by_class():
    inside = np.array([[True, True], [False, False], [False, True], [True, False]])
    told = judge_sets(inside, np.array([0, 0, 1, 1]), ("a", "b"))
    assert (told["coverage"], told["size"], told["empty"]) == (0.5, 1.0, 0.25)
    assert told["classes"]["b"] == {"rows": 2, "coverage": 0.5, "size": 1.0}
