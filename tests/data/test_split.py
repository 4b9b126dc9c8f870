"""Rows that are held out of train: both sides know the same classes, and every row is on one of them."""

import numpy as np
import pytest

from logitmix_hf.data.split import hold_out_rows
from logitmix_hf.evaluation.predictions import MULTI, SINGLE


@pytest.mark.parametrize("seed", range(12))
def test_no_class_is_judged_that_train_has_not(seed):
    labels = np.array([0] * 12 + [1] * 12 + [2, 3, 4, 5])  # four classes of one row
    train, out = hold_out_rows(labels.tolist(), SINGLE, 0.3, seed)
    assert set(labels[out]) <= set(labels[train])
    assert sorted([*train, *out]) == list(range(len(labels)))
    several = np.eye(8, dtype=int)[np.array([0] * 12 + [1] * 12 + [2, 3, 4, 5, 6, 7])]
    train, out = hold_out_rows(several.tolist(), MULTI, 0.3, seed)
    assert (several[train].any(0) >= several[out].any(0)).all()
