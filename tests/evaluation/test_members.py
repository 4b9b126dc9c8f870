"""Scores of members, by hand."""

import numpy as np
import pytest

from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.members import diversity_ratio, member_scores


def test_errors_made_alone_for_each_that_is_shared():
    """Ten rows: both err in two, the first alone in three, the second alone in one."""
    errors = np.zeros((10, 2), bool)
    errors[:2] = True
    errors[2:5, 0] = True
    errors[5, 1] = True
    assert diversity_ratio(errors) == 2.0
    assert diversity_ratio(errors[:, ::-1]) == 2.0
    assert diversity_ratio(errors[np.random.default_rng(0).permutation(10)]) == 2.0


def test_members_that_err_alike_have_none_and_without_a_shared_error_it_is_not_defined():
    same = np.array([[True, True], [False, False]])
    assert diversity_ratio(same) == 0.0
    assert diversity_ratio(np.array([[True, False], [False, True]])) is None
    assert diversity_ratio(np.array([[True], [False]])) is None


def test_the_mean_over_pairs():
    errors = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0]], bool)
    assert diversity_ratio(errors) == pytest.approx((2 + 1 + 1) / 3)


def logits_for(answers, classes=3, size=2.0):
    return size * np.eye(classes)[np.asarray(answers)]


def test_scores_of_members_beside_those_of_all():
    labels = np.array([0, 1, 2, 0])
    members = np.stack([logits_for([0, 1, 2, 1]), logits_for([0, 2, 2, 1], size=1.0)], 1)
    found = member_scores(Predictions(members.mean(1), labels, members=members))
    assert found["member_accuracies"] == [0.75, 0.5]
    assert found["member_accuracy"] == 0.625
    assert found["ensemble_gain"] == pytest.approx(0.75 - 0.625)  # the first is the surer of the two
    assert found["d_re"] == 1.0
    right, wrong = [[-np.log(np.exp(s) / (np.exp(s) + 2)), -np.log(1 / (np.exp(s) + 2))] for s in (2.0, 1.0)]
    nll = (3 * right[0] + right[1] + 2 * wrong[0] + 2 * wrong[1]) / 8
    assert found["member_nll"] == pytest.approx(nll, rel=1e-6)


def test_several_labels_count_by_decision_and_nothing_without_members_or_labels():
    labels = np.array([[1, 0], [0, 1]])
    members = np.array([[[1.0, -1.0], [1.0, 1.0]], [[-1.0, 1.0], [1.0, 1.0]]])
    found = member_scores(Predictions(members.mean(1), labels, problem="multi_label_classification", members=members))
    assert found["member_accuracies"] == [1.0, 0.5]
    assert found["d_re"] is None
    assert member_scores(Predictions(np.zeros((2, 2)), np.array([0, 1]))) == {}
    assert member_scores(Predictions(np.zeros((2, 3)), None, members=np.zeros((2, 2, 3)))) == {}
