"""Weights of classes as they are asked for, against scikit-learn's and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from logitmix_hf import MixArguments
from logitmix_hf.class_weights import read_class_weights, weights_in_order
from logitmix_hf.errors import UserError

NAMES = ("bad", "so, so", "x=y")


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        (None, None),
        (["balanced"], "balanced"),
        ("balanced", "balanced"),
        (["1", "2.5", "0"], [1.0, 2.5, 0.0]),
        ([1, 2.5, 0], [1.0, 2.5, 0.0]),
        (["1,2.5,0"], [1.0, 2.5, 0.0]),
        (["bad=3"], {"bad": 3.0}),
        (["bad=3,so, so=.5, x=y=2"], {"bad": 3.0, "so, so": 0.5, "x=y": 2.0}),
        (["bad=3", "so, so=1e-1"], {"bad": 3.0, "so, so": 0.1}),
        ({"bad": 3}, {"bad": 3}),
    ],
)
def test_what_is_asked_for_is_read(asked, read):
    assert read_class_weights(asked) == read
    assert MixArguments(class_weights=asked).class_weights == read


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["balansed"], "balanced, name=weight.*got 'balansed'"),
        (["-1", "2"], "at least 0, got -1"),
        (["bad=-1"], "class_weights of 'bad' must be .*got -1"),
        (["bad=nan"], "class_weights of 'bad'"),
        (["bad=much"], "a number for each class, got 'much'"),
        (["bad=1,2"], "class_weights has '2'"),
        (["bad=1,bad=2"], "names 'bad' twice"),
        (["=2"], "class_weights has '=2'"),
        (-2, "at least 0, got -2"),
    ],
)
def test_what_cannot_be_read_is_named(asked, words):
    with pytest.raises(UserError, match=words):
        MixArguments(class_weights=asked)


def test_balanced_weights_of_classes_are_scikit_learns():
    labels = np.array([0] * 7 + [1] * 2 + [2] * 3)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(weights_in_order("balanced", NAMES, labels), wanted)
    np.testing.assert_allclose(weights_in_order("balanced", NAMES, torch.tensor(labels).numpy()[:, None]), wanted)
    assert weights_in_order("balanced", (*NAMES, "never"), labels)[3] == 1
    with pytest.raises(UserError, match="a label is 2, but the classes are 0 to 1"):
        weights_in_order("balanced", NAMES[:2], labels)


def test_balanced_weights_of_several_labels_weigh_positives_as_much_as_negatives():
    labels = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]], float)
    assert weights_in_order("balanced", ("a", "b", "all", "none"), labels) == [3.0, 1.0, 1.0, 1.0]


def test_names_are_put_in_order_and_must_exist():
    assert weights_in_order({"x=y": 2.0}, NAMES, None) == [1.0, 1.0, 2.0]
    with pytest.raises(UserError, match=r"No class for class_weights is called 'bda'. Did you mean 'bad'\?"):
        weights_in_order({"bda": 2.0}, NAMES, None)
    with pytest.raises(UserError, match=r"has 2 values, the data has 3 labels \(bad, so, so, x=y\)"):
        weights_in_order([1.0, 2.0], NAMES, None)
    with pytest.raises(UserError, match="there are none"):
        weights_in_order("balanced", NAMES, None)
