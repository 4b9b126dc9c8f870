"""Calibration against numbers by hand, a plain loop over the definition, torchmetrics, scikit-learn, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import (
    bayes_accuracy,
    bin_confidences,
    brier,
    confidence_gap,
    ece,
    mce,
    nll,
    oe,
    true_calibration_error,
)
from logitmix_hf.evaluation.calibration import bin_decisions, calibration_scores
from logitmix_hf.evaluation.decisions import decisions, log_softmax, softmax

# Confidences on edges, at 0 and 1, and anywhere: what random floats alone would never hit.
confidences = st.one_of(
    st.sampled_from([0.0, 1.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1 / 3, 2 / 3, 1 / 15, 14 / 15]), st.floats(0.0, 1.0)
)
outcomes = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=60)
bin_counts = st.integers(1, 25)
finite_logits = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(2, 5)),
    elements=st.floats(-60, 60, allow_subnormal=True),
)


def by_definition(confidence, correct, bins):
    """ECE, OE, MCE as the papers write them: for each bin, the rows in ((m - 1)/M, m/M], and 0 with the first."""
    ece_sum = oe_sum = worst = 0.0
    for m in range(1, bins + 1):
        inside = [
            (c, r)
            for c, r in zip(confidence, correct, strict=True)
            if (m - 1) / bins < c <= m / bins or (m == 1 and c == 0)
        ]
        if inside:
            conf = math.fsum(c for c, _ in inside) / len(inside)
            acc = sum(r for _, r in inside) / len(inside)
            share = len(inside) / len(confidence)
            ece_sum += share * abs(acc - conf)
            oe_sum += share * conf * max(conf - acc, 0)
            worst = max(worst, abs(acc - conf))
    return ece_sum, oe_sum, worst


# Eight rows worked out apart from this code; .40 lies on an edge of 5 and of 10 bins and belongs to the lower one.
EIGHT = [0.95, 0.91, 0.85, 0.62, 0.58, 0.33, 0.40, 0.99], [1, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("bins", "expected_ece", "expected_oe"),
    [(5, 0.241250, 0.122988), (10, 0.278750, 0.142987), (15, 0.376250, 0.159175)],
)
def test_golden_numbers(bins, expected_ece, expected_oe):
    counted = bin_confidences(*EIGHT, bins=bins)
    assert ece(counted) == pytest.approx(expected_ece, abs=5e-7)
    assert oe(counted) == pytest.approx(expected_oe, abs=5e-7)


def test_numbers_by_hand():
    # (0, .5] holds .5 (wrong); (.5, 1] holds .7 (wrong), .9 (right), 1 (right): mean 2.6/3 against 2/3
    counted = bin_confidences([0.5, 0.7, 0.9, 1.0], [0, 0, 1, 1], bins=2)
    assert counted.count.tolist() == [1, 3]
    assert counted.confidence == pytest.approx([0.5, 2.6 / 3])
    assert counted.accuracy == pytest.approx([0.0, 2 / 3])
    assert ece(counted) == pytest.approx(0.25 * 0.5 + 0.75 * 0.2)
    assert oe(counted) == pytest.approx(0.25 * 0.5 * 0.5 + 0.75 * (2.6 / 3) * 0.2)
    assert mce(counted) == pytest.approx(0.5)
    assert confidence_gap(counted) == pytest.approx(3.1 / 4 - 2 / 4)


@pytest.mark.parametrize("bins", [1, 2, 3, 5, 7, 10, 15, 100])
def test_every_edge_closes_the_bin_on_its_left(bins):
    """The edge m/M is in bin m; the next float above it is in bin m + 1. 0 is in the first bin, 1 in the last."""
    edges = np.arange(1, bins) / bins
    assert (
        bin_confidences(edges, np.ones(bins - 1), bins).count.tolist() == [1] * (bins - 1) + [0] if bins > 1 else True
    )
    above = np.nextafter([0.0, *edges], 2)
    assert bin_confidences(above, np.ones(bins), bins).count.tolist() == [1] * bins
    ends = bin_confidences([0.0, 1.0], [0, 1], bins).count
    assert ends[0] >= 1
    assert ends[-1] >= 1
    assert ends.sum() == 2


def test_a_confidence_of_exactly_one_shares_the_last_bin():
    # torchmetrics puts 1.0 into an eleventh bin of its own and finds 0.525
    counted = bin_confidences([0.95, 1.0], [1, 0], bins=10)
    assert counted.count.tolist() == [0] * 9 + [2]
    assert ece(counted) == pytest.approx(0.475)


def test_equal_logits_lie_on_the_edge_that_they_mean():
    """C equal logits have confidence 1/C to the last bit, so with C bins they are in the first."""
    for classes in range(2, 60):
        probabilities = softmax(np.full((1, classes), 0.3))
        assert bin_decisions(probabilities, np.array([0]), bins=classes).count[0] == 1, classes


def test_empty_bins_say_so():
    counted = bin_confidences([0.9, 0.8], [1, 0], bins=2)
    assert np.isnan(counted.accuracy[0])
    assert np.isnan(counted.confidence[0])
    assert counted.gap[0] == 0
    assert counted.share.tolist() == [0, 1]


@given(outcomes, bin_counts)
@settings(max_examples=150, deadline=None)
def test_against_the_definition(rows, bins):
    confidence, correct = zip(*rows, strict=True)
    counted = bin_confidences(confidence, correct, bins)
    assert (ece(counted), oe(counted), mce(counted)) == pytest.approx(
        by_definition(confidence, correct, bins), abs=1e-12
    )


@given(outcomes, bin_counts)
@settings(max_examples=150, deadline=None)
def test_laws(rows, bins):
    confidence, correct = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    counted = bin_confidences(confidence, correct, bins)
    gap = confidence.mean() - correct.mean()
    assert counted.count.sum() == len(rows)
    assert 0 <= oe(counted) <= ece(counted) <= mce(counted) + 1e-12
    assert mce(counted) <= 1
    assert confidence_gap(counted) == pytest.approx(gap, abs=1e-12)
    assert ece(counted) >= abs(gap) - 1e-12
    # merging neighbours can only cancel gaps: one bin is the least
    assert ece(bin_confidences(confidence, correct, 1)) <= ece(counted) + 1e-12
    assert ece(bin_confidences(confidence, correct, 2 * bins)) >= ece(counted) - 1e-12


@given(finite_logits, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_rows_and_classes_does_not_matter(logits, random):
    rows, classes = logits.shape
    labels = np.array([random.randrange(classes) for _ in range(rows)])
    scores = calibration_scores(softmax(logits), labels, 15, logits)
    order = random.sample(range(rows), rows)
    shuffled = calibration_scores(softmax(logits[order]), labels[order], 15, logits[order])
    assert shuffled == pytest.approx(scores, abs=1e-9)
    # likelihood and Brier's score do not know the names of the classes
    names = random.sample(range(classes), classes)
    renamed = np.argsort(names)[labels]
    assert nll(logits[:, names], renamed) == pytest.approx(scores["nll"], abs=1e-9)
    assert brier(softmax(logits[:, names]), renamed) == pytest.approx(scores["brier"], abs=1e-9)


@given(finite_logits, st.floats(-1e3, 1e3))
@settings(max_examples=60, deadline=None)
def test_a_constant_added_to_all_logits_changes_nothing(logits, constant):
    assert softmax(logits + constant) == pytest.approx(softmax(logits), abs=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("bins", [5, 10, 15])
def test_against_torchmetrics(classes, bins):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(classes * 100 + bins)
    logits, labels = rng.normal(size=(500, classes)) * 2, rng.integers(classes, size=500)
    probabilities = softmax(logits)
    counted = bin_decisions(probabilities, labels, bins)
    for norm, ours in (("l1", ece), ("max", mce)):
        theirs = functional.multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(labels), num_classes=classes, n_bins=bins, norm=norm
        )
        assert ours(counted) == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_likelihood_and_brier_against_scikit_learn_and_torch(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(classes)
    logits, labels = rng.normal(size=(300, classes)) * 3, rng.integers(classes, size=300)
    probabilities, names = softmax(logits), np.arange(classes)
    assert nll(logits, labels) == pytest.approx(metrics.log_loss(labels, probabilities, labels=names), abs=1e-12)
    cross_entropy = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    assert nll(logits, labels) == pytest.approx(float(cross_entropy), abs=1e-12)
    if classes == 2:  # scikit-learn has halved the two-class score in every version
        assert brier(probabilities, labels) == pytest.approx(2 * metrics.brier_score_loss(labels, probabilities[:, 1]))
    assert brier(probabilities, labels) == pytest.approx(
        np.mean(((probabilities - np.eye(classes)[labels]) ** 2).sum(1))
    )


def test_brier_at_its_ends():
    assert brier([[1.0, 0.0]], [0]) == 0
    assert brier([[1.0, 0.0]], [1]) == 2
    assert brier([[0.25] * 4], [2]) == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_huge_logits_stay_finite():
    logits = np.array([[1e38, -1e38], [-1e38, 1e38]], dtype=np.float32)
    assert nll(logits, [0, 1]) == 0
    assert nll(logits, [1, 1]) == pytest.approx(1e38, rel=1e-6)
    assert softmax(logits).tolist() == [[1, 0], [0, 1]]
    # exp(-800) rounds to 0 in float64, its logarithm does not
    assert log_softmax([[0.0, -800.0]])[0, 1] == -800


def test_half_precision_is_widened_before_the_softmax():
    logits = np.array([[1.0, 0.5, -2.0]], dtype=np.float16)
    assert softmax(logits) == pytest.approx(softmax(logits.astype(np.float64)), abs=0)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_logit_is_a_binary_model(shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=50) * 3, rng.integers(2, size=50)
    sigmoid = 1 / (1 + np.exp(-z))
    columns, y = decisions(z.reshape(shape), labels)
    assert softmax(columns)[:, 1] == pytest.approx(sigmoid, abs=1e-15)
    assert softmax(columns).max(axis=1) == pytest.approx(np.maximum(sigmoid, 1 - sigmoid))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(z), torch.tensor(labels).double())
    assert nll(z.reshape(shape), y) == pytest.approx(float(loss), abs=1e-12)


def test_true_calibration_error_by_hand():
    probabilities, posterior = [[0.9, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.5, 0.5]]
    assert true_calibration_error(probabilities, posterior) == pytest.approx((0.2 + 0.1) / 2)
    assert true_calibration_error(posterior, posterior) == 0
    assert bayes_accuracy(posterior) == pytest.approx(0.6)


def test_ece_finds_the_true_error_of_a_model_that_is_too_sure_everywhere():
    """With many labels drawn from a known posterior, ECE of a constant shift comes near the true error."""
    rng = np.random.default_rng(0)
    q = rng.uniform(0.5, 0.85, size=40_000)
    posterior = np.stack([1 - q, q], axis=1)
    labels = (rng.random(len(q)) < q).astype(int)
    shifted = np.stack([0.9 - q, q + 0.1], axis=1)
    assert true_calibration_error(shifted, posterior) == pytest.approx(0.1)
    scores = calibration_scores(shifted, labels, 15)
    assert scores["ece"] == pytest.approx(0.1, abs=0.01)
    assert scores["confidence_gap"] == pytest.approx(0.1, abs=0.01)
    assert bayes_accuracy(posterior) == pytest.approx(np.mean(labels), abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bin_confidences([], []), "no rows"),
        (lambda: bin_confidences([0.5, 1.5], [1, 0]), "row 1"),
        (lambda: bin_confidences([0.5, math.nan], [1, 0]), "row 1"),
        (lambda: bin_confidences([0.5, 0.5], [1, 2]), "row 1"),
        (lambda: bin_confidences([0.5], [1, 0]), "1 rows but correct has 2"),
        (lambda: bin_confidences([0.5], [1], bins=0), "at least 1"),
        (lambda: bin_confidences([0.5], [1], bins=2.5), "whole number"),
        (lambda: softmax(np.zeros((0, 3))), "no rows"),
        (lambda: softmax([[0.0, 1.0], [0.0, math.inf]]), "row 1"),
        (lambda: softmax([[math.nan, 1.0], [0.0, 1.0]]), "row 0"),
        (lambda: nll([[0.0, 1.0]], [2]), "row 0 is 2"),
        (lambda: nll([[0.0, 1.0]] * 2, [0, -1]), "row 1 is -1"),
        (lambda: nll([[0.0, 1.0]] * 2, [0]), "2 rows"),
        (lambda: nll([[0.0, 1.0]] * 2, ["a", "b"]), "class numbers"),
        (lambda: brier([[0.5, 0.5], [2.0, -1.0]], [0, 1]), "row 1"),
        (lambda: true_calibration_error([[0.5, 0.5]], [[0.2, 0.3, 0.5]]), "shape"),
    ],
)
def test_mistakes_name_the_row(call, words):
    with pytest.raises(UserError, match=words):
        call()
