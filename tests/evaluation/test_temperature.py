"""Temperature scaling against a fine grid, scikit-learn, a known truth, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import HalfTemperatures, Temperature, fit_halves, fit_temperature, nll, second_half


def noisy(rows=400, classes=3, scale=3.0, seed=0):
    """Logits that are too large for the labels drawn: the classifier is over-confident by about ``scale``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((rows, 1))).argmax(1)
    return logits * scale, labels


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_against_a_fine_grid(classes, scale):
    logits, labels = noisy(classes=classes, scale=scale)
    fitted = fit_temperature(logits, labels)
    # three grids, each inside the best cell of the one before, down to steps of 1e-7
    low, high = 0.05, 20.0
    for _ in range(4):
        grid = np.geomspace(low, high, 61)
        best = int(np.argmin([nll(logits / t, labels) for t in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 60)]
    assert fitted.value == pytest.approx(grid[best], rel=1e-4)
    assert nll(logits / (fitted.value * (1 + 1e-6)), labels) >= fitted.nll_after
    assert nll(logits / (fitted.value * (1 - 1e-6)), labels) >= fitted.nll_after
    assert fitted.nll_after <= nll(logits / grid[best], labels) + 1e-12
    assert fitted.nll_after == pytest.approx(nll(logits / grid[best], labels), abs=1e-6)
    assert fitted.bound == ""
    assert fitted.warning == ""


@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_vanishes_at_the_temperature(classes):
    """At the minimum the mean logit of the label equals the mean expected logit: the derivative in 1/T, exactly."""
    logits, labels = noisy(classes=classes)
    scaled = logits / fit_temperature(logits, labels).value
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    slope = np.mean((p * logits).sum(1) - logits[np.arange(len(labels)), labels])
    assert abs(slope) < 1e-6


def test_finds_the_scale_that_spoilt_the_logits():
    logits, labels = noisy(rows=20_000, scale=3.0)
    assert fit_temperature(logits, labels).value == pytest.approx(3.0, rel=0.05)
    logits, labels = noisy(rows=20_000, scale=0.5)
    assert fit_temperature(logits, labels).value == pytest.approx(0.5, rel=0.05)


def test_against_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    base = pytest.importorskip("sklearn.base")
    frozen = pytest.importorskip("sklearn.frozen")
    if "temperature" not in (calibration.CalibratedClassifierCV.__doc__ or ""):
        pytest.skip("this scikit-learn has no temperature calibration")

    class Logits(base.ClassifierMixin, base.BaseEstimator):
        """A fitted classifier whose features are its logits."""

        classes_ = np.arange(3)

        def fit(self, x, y):
            return self

        def decision_function(self, x):
            return x

        def predict(self, x):
            return x.argmax(1)

        def __sklearn_is_fitted__(self):
            return True

    logits, labels = noisy()
    theirs = calibration.CalibratedClassifierCV(frozen.FrozenEstimator(Logits()), method="temperature")
    p = theirs.fit(logits, labels).predict_proba(logits)
    scaled = fit_temperature(logits, labels).apply(logits)
    ours = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    assert ours == pytest.approx(p, abs=1e-4)
    assert fit_temperature(logits, labels).nll_after <= -np.mean(np.log(p[np.arange(len(labels)), labels])) + 1e-9


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 15), st.integers(1, 4)), elements=st.floats(-50, 50)),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_never_worse_than_one_and_never_another_class(logits, random):
    labels = np.array([random.randrange(max(logits.shape[1], 2)) for _ in logits])
    fitted = fit_temperature(logits, labels)
    assert fitted.nll_after <= fitted.nll_before
    assert fitted.nll_before == pytest.approx(nll(logits, labels), abs=1e-9)
    assert nll(fitted.apply(logits), labels) == pytest.approx(fitted.nll_after, abs=1e-9)
    assert 0.01 <= fitted.value <= 100
    # the class stays the largest; what differed in the last bit may become its equal
    scaled = fitted.apply(logits)
    assert np.array_equal(scaled[np.arange(len(scaled)), logits.argmax(1)], scaled.max(1))
    assert fitted.bound == "lower" or fitted.low <= fitted.value <= fitted.high


def test_scaling_the_logits_scales_the_temperature():
    logits, labels = noisy()
    once, twice = fit_temperature(logits, labels), fit_temperature(logits * 2, labels)
    assert twice.value == pytest.approx(2 * once.value, rel=1e-6)
    # and after scaling there is nothing left to find
    assert fit_temperature(once.apply(logits), labels).value == pytest.approx(1.0, rel=1e-6)


def test_one_wrong_of_four_by_hand():
    """Logit margin 4, three of four right: the best is p = 3/4, so 4 / T = log 3."""
    fitted = fit_temperature([[4.0, 0.0]] * 4, [0, 0, 0, 1])
    assert fitted.value == pytest.approx(4 / math.log(3), rel=1e-6)
    assert fitted.nll_after == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    # the same model with one output
    assert fit_temperature([-4.0] * 4, [0, 0, 0, 1]).value == pytest.approx(fitted.value, rel=1e-9)


def test_at_the_lower_bound_the_temperature_stays_at_1():
    """Two rows that are both right want every answer to be certain: nothing to divide a model by."""
    all_right = fit_temperature([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    assert (all_right.bound, all_right.value, all_right.low) == ("lower", 1, 0.01)
    assert all_right.nll_after == all_right.nll_before == pytest.approx(math.log1p(math.exp(-1)))
    assert "stays at 1: on the 2 rows" in all_right.warning
    assert "down to 0.01 more confidence is always better" in all_right.warning


def test_at_the_upper_bound_the_answer_is_even_odds():
    worse_than_chance = fit_temperature([[1.0, 0.0], [0.0, 1.0]], [1, 0])
    assert (worse_than_chance.bound, worse_than_chance.value, worse_than_chance.high) == ("upper", 100, 100)
    assert worse_than_chance.nll_after == pytest.approx(math.log(2), abs=0.01)
    assert "is 100: on the 2 rows" in worse_than_chance.warning
    assert "less confidence is always better" in worse_than_chance.warning


def test_without_information_the_temperature_stays_one():
    assert fit_temperature(np.zeros((5, 3)), [0, 1, 2, 0, 1]).value == 1
    perfect = fit_temperature([[1e6, 0.0]], [0])  # the likelihood is 1 already
    assert (perfect.value, perfect.bound, perfect.nll_before) == (1, "", 0)


def test_several_labels_share_one_temperature():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 3)) * 2
    labels = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)
    assert fit_temperature(z * 2, labels).value == pytest.approx(2.0, rel=0.1)


def test_apply_takes_tensors():
    torch = pytest.importorskip("torch")
    fitted = fit_temperature(*noisy())
    logits = torch.ones(2, 3)
    assert torch.allclose(fitted.apply(logits), logits / fitted.value)


def test_the_likelihood_is_convex_in_one_over_t():
    logits, labels = noisy(classes=4)
    losses = np.array([nll(logits * beta, labels) for beta in np.linspace(0.01, 3, 200)])
    assert (losses[:-2] + losses[2:] - 2 * losses[1:-1] > -1e-12).all()


def test_the_slope_is_zero_to_the_last_digits():
    logits, labels = noisy(rows=30)
    beta = 1 / fit_temperature(logits, labels).value
    around = [nll(logits * (beta + step), labels) for step in (-1e-4, 1e-4)]
    # a parabola through three points has its lowest point where the temperature is, to 1e-6
    middle = nll(logits * beta, labels)
    lowest = 1e-4 * (around[0] - around[1]) / (2 * (around[0] + around[1] - 2 * middle))
    assert abs(lowest) / beta < 1e-6


def test_the_interval_by_hand():
    """Margin 4, 6 of 8 right: p = sigmoid(4 / T), and 2 * 8 * (mean nll(p) - mean nll(3/4)) = 3.8415 at both ends."""
    fitted = fit_temperature([[4.0, 0.0]] * 8, [0] * 6 + [1] * 2)
    for end in (fitted.low, fitted.high):
        p = 1 / (1 + math.exp(-4 / end))
        ratio = 2 * 8 * (-0.75 * math.log(p / 0.75) - 0.25 * math.log((1 - p) / 0.25))
        assert ratio == pytest.approx(3.8415, abs=1e-4) or end == 100
    assert fitted.low < 4 / math.log(3) < fitted.high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        fitted = fit_temperature(*noisy(rows=150, scale=2.0, seed=seed))
        inside += fitted.low <= 2.0 <= fitted.high
    assert 180 <= inside <= 199  # 95 % of 200 is 190, with a standard deviation of 3


def test_few_rows_are_told_with_the_interval():
    few = fit_temperature(*noisy(rows=49))
    assert "only 49 rows" in few.warning
    assert f"{few.low:.3g} to {few.high:.3g}" in few.warning
    assert fit_temperature(*noisy(rows=50)).warning == ""
    narrow = fit_temperature(*noisy(rows=4900))
    assert few.high / few.low > 2 * narrow.high / narrow.low


# --- halves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 3, 100, 101])
def test_halves_share_the_rows(rows):
    half = second_half(rows, seed=3)
    assert half.sum() == rows // 2
    assert np.array_equal(half, second_half(rows, seed=3))
    if rows > 3:
        assert not np.array_equal(half, second_half(rows, seed=4))


def test_no_row_is_judged_by_a_temperature_that_saw_it():
    logits, labels = noisy(rows=201)
    fitted = fit_halves(logits, labels, seed=5)
    half = second_half(201, seed=5)
    assert fitted.value == (fitted.first.value + fitted.second.value) / 2
    assert fit_temperature(logits[half], labels[half]).value == fitted.second.value
    assert fitted.apply(logits)[half] == pytest.approx(logits[half] / fitted.first.value)
    assert fitted.apply(logits)[~half] == pytest.approx(logits[~half] / fitted.second.value)
    # whatever the labels of one half are, its own probabilities stay
    swapped = np.where(half, (labels + 1) % 3, labels)
    assert np.array_equal(fit_halves(logits, swapped, seed=5).apply(logits)[half], fitted.apply(logits)[half])
    assert fitted.apply(logits.astype(np.float32)).dtype == np.float32


def test_halves_of_one_row_are_a_mistake():
    with pytest.raises(UserError, match="two rows, got 1"):
        fit_halves([[0.0, 1.0]], [1])


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (np.zeros((0, 2)), [], "no rows"),
        ([[0.0, 1.0], [0.0, math.nan]], [0, 1], "row 1"),
        ([[0.0, 1.0]], [3], "row 0 is 3"),
        ([[0.0, 1.0]] * 2, [0], "2 rows"),
    ],
)
def test_mistakes(logits, labels, words):
    with pytest.raises(UserError, match=words):
        fit_temperature(logits, labels)


def test_a_half_at_the_lower_bound_leaves_all_rows_as_they_were():
    """That of one half alone is no temperature of anything; a warning of few rows must not hide it."""
    few, at_bound = fit_temperature(*noisy(rows=40)), fit_temperature([[2.0, 0.0], [0.0, 1.0]], [0, 1])
    for pair in [(few, at_bound), (at_bound, few)]:
        halves = HalfTemperatures(*pair, half=np.arange(42) % 2 == 0, seed=0)
        assert "stays at 1" in halves.warning
        assert (halves.bound, halves.value) == ("lower", 1)
        logits = np.random.default_rng(0).normal(size=(42, 2))
        assert np.array_equal(halves.apply(logits), logits)


def test_a_temperature_that_the_rows_hardly_tell_is_told():
    """Logits that know nothing of the labels, on more rows than count as few: many temperatures are as likely."""
    draw = np.random.default_rng(0)
    vague = fit_temperature(0.05 * draw.normal(size=(200, 2)), draw.integers(0, 2, 200))
    assert vague.bound or vague.high > 4 * vague.low
    assert "hardly known" in vague.warning or vague.bound
    known = fit_temperature(*noisy(rows=400))
    assert known.high < 4 * known.low
    assert known.warning == ""


def test_hardly_known_is_said_with_the_interval():
    found = Temperature(2.0, 0.7, 0.69, rows=80, low=0.025, high=100.0)
    assert "hardly known: of 80 rows its 95% interval is 0.025 to 100" in found.warning
    assert Temperature(2.0, 0.7, 0.69, rows=80, low=1.5, high=2.5).warning == ""
