"""Labels that a model contradicts, against labels that were turned round on purpose and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.suspects import suspect_rows


def test_by_hand():
    """Class 0 is claimed from (.9 + .7 + .2) / 3 = .6 on, class 1 from (.8 + .6) / 2 = .7 on."""
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8], [0.4, 0.6]])
    assert suspect_rows(p, [0, 0, 0, 1, 1]).tolist() == [2]
    # With another label for row 0: 0 from .45 on, 1 from .5 on; rows 0 and 2 claim the other class, row 0 the surest.
    assert suspect_rows(p, [1, 0, 0, 1, 1]).tolist() == [0, 2]


def test_labels_that_were_turned_round_come_first():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 4, 400)
    logits = draw.normal(size=(400, 4)) + 5 * np.eye(4)[true]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = draw.choice(400, 20, replace=False)
    labels = true.copy()
    labels[wrong] = (labels[wrong] + draw.integers(1, 4, 20)) % 4
    found = suspect_rows(p, labels)
    assert len(set(found[:20].tolist()) & set(wrong.tolist())) >= 18
    assert len(found) < 40
    own = p[found, labels[found]]
    assert (np.diff(own) >= 0).all()


def test_a_class_without_rows_is_never_claimed_and_a_sure_right_model_suspects_nothing():
    p = np.array([[0.3, 0.2, 0.5], [0.2, 0.3, 0.5]])
    assert suspect_rows(p, [0, 1]).size == 0
    assert suspect_rows(np.eye(3), [0, 1, 2]).size == 0
    assert suspect_rows(np.full((4, 2), 0.5), [0, 1, 0, 1]).shape[0] <= 2  # nothing is known: ties
    with pytest.raises(UserError):
        suspect_rows(np.eye(2), [0, 5])
