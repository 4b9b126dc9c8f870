"""Joining predictions, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.members import member_scores
from logitmix_hf.evaluation.pooling import averaged, disagreement, gains, pool, without

ROWS = 40


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one(seed, rows=ROWS, classes=3, **changes):
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(classes, size=rows)
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return Predictions(logits, labels, **{"label_names": ("a", "b", "c")[:classes], **changes})


def test_logits_and_probabilities_are_averaged():
    members = [one(seed) for seed in (1, 2, 3)]
    each = np.stack([member.logits for member in members])
    np.testing.assert_allclose(pool(members).logits, each.mean(0), atol=1e-6)
    np.testing.assert_allclose(softmax(pool(members, "probs").logits), softmax(each).mean(0), atol=1e-6)
    assert pool(members).members.shape == (ROWS, 3, 3)


def test_several_labels_and_values():
    z = np.random.default_rng(0).normal(size=(5, 2, 4))
    sigmoid = 1 / (1 + np.exp(-z))
    found = averaged(z, "probs", "multi_label_classification")
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), sigmoid.mean(1))
    np.testing.assert_allclose(averaged(z, "probs", "regression"), z.mean(1))


def test_the_same_classifier_many_times_over_is_that_classifier():
    member = one(1)
    for average in ("logits", "probs"):
        together = pool([member] * 4, average)
        np.testing.assert_allclose(softmax(together.logits), softmax(member.logits), atol=1e-6)
        assert disagreement(together) == 0
        assert member_scores(together)["d_re"] == 0.0
        gain = gains(together)["nll"]
        assert abs(gain.value) < 1e-6
        assert abs(gain.low) < 1e-6


def test_rows_are_matched_by_their_number():
    member = one(1)
    order = np.random.default_rng(3).permutation(ROWS)
    shuffled = Predictions(member.logits[order], member.labels[order], member.label_names, idx=order)
    together = pool([member, shuffled])
    np.testing.assert_allclose(together.logits, member.logits, atol=1e-6)
    assert together.idx.tolist() == list(range(ROWS))


def test_gains_are_scores_of_all_less_the_mean_of_the_members():
    members = [one(seed) for seed in (1, 2, 3)]
    together = pool(members)
    found = gains(together)
    accuracies = [(member.predictions == member.labels).mean() for member in members]
    assert found["accuracy"].value == pytest.approx(
        (together.predictions == together.labels).mean() - np.mean(accuracies)
    )
    nll = lambda p: -np.log(softmax(p.logits.astype(float))[np.arange(ROWS), p.labels]).mean()  # noqa: E731
    assert found["nll"].value == pytest.approx(nll(together) - np.mean([nll(member) for member in members]), abs=1e-6)
    assert found["nll"].low < found["nll"].value < found["nll"].high < 0  # Jensen: never above 0


def test_the_interval_of_a_gain_holds_the_truth_as_often_as_it_says():
    """Two hundred data sets, members right at random: the true gain in accuracy of three at .7 each is by counting."""
    truth = 0.7**3 + 3 * 0.7**2 * 0.3 - 0.7
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        right = rng.random((300, 3)) < 0.7
        # Two classes, every member equally sure: the mean of logits is the majority.
        logits = np.where(right[..., None], [0.0, 1.0], [1.0, 0.0])
        members = [Predictions(logits[:, k], np.ones(300, int)) for k in range(3)]
        gain = gains(pool(members), resamples=300, seed=seed)["accuracy"]
        held += gain.low <= truth <= gain.high
    assert 180 <= held <= 199  # 95 % of 200, within four standard errors


def test_disagreement_over_pairs():
    labels = np.zeros(4, int)
    members = [Predictions(np.eye(2)[answers], labels) for answers in ([0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1])]
    assert disagreement(pool(members)) == pytest.approx((0.5 + 0.75 + 0.25) / 3)


def test_what_is_left_without_one():
    members = [one(seed) for seed in (1, 2, 3)]
    np.testing.assert_allclose(without(pool(members), 1, "logits").logits, pool(members[::2]).logits, atol=1e-6)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: one(2, label_names=("b", "a", "c")), "numbers its classes otherwise.*'a' and 'b'.*in another order"),
        (lambda: one(2, label_names=("a", "b", "x")), "numbers its classes otherwise.*'c' and 'x'"),
        (lambda: one(2, rows=30), "judged on 30 rows, the first on 40, and 30 are the same"),
        (lambda: one(2, idx=np.arange(5, 45)), "40 rows, the first on 40, and 35 are the same"),
        (lambda: one(2, classes=2), "tells 2 classes apart, the first 3: join runs of one task"),
        (lambda: Predictions(one(2).logits, (one(1).labels + 1) % 3, ("a", "b", "c")), "other labels than the first"),
        (lambda: Predictions(np.zeros((ROWS, 1)), np.zeros(ROWS), problem="regression"), "regression"),
        (lambda: one(2, idx=np.zeros(ROWS, int)), "stands for several rows"),
    ],
)
def test_what_cannot_be_joined_is_told(other, words):
    with pytest.raises(UserError, match=words):
        pool([one(1), other()])
