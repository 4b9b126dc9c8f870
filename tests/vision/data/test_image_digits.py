"""The digits of scikit-learn: the same splits everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits as original

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import ImageRequest, load_image_data


def test_the_splits_are_these_everywhere():
    data = load_image_data(ImageRequest(dataset="digits", need_test=True, seed=7))
    assert [len(split) for split in data.splits.values()] == [1079, 359, 359]
    rows = b"".join(split.idx.astype("<i8").tobytes() for split in data.splits.values())
    assert hashlib.sha256(rows).hexdigest()[:16] == "dcfc094a9588aa36"
    assert data.fingerprint == "95c149f670481933"
    assert (
        data.fingerprint
        == load_image_data(ImageRequest(dataset="digits", need_test=True, seed=8, image_size=16)).fingerprint
    )


def test_they_are_scikit_learns():
    data, theirs = load_image_data(ImageRequest(dataset="digits", need_test=True)), original()
    together = np.concatenate([split.idx for split in data.splits.values()])
    assert sorted(together) == list(range(1797))
    for split in data.splits.values():
        np.testing.assert_array_equal(split.labels, theirs.target[split.idx])
        assert np.abs(split.pixels[:, 0].numpy() / 255 * 16 - theirs.images[split.idx]).max() < 0.04
        shares = np.bincount(split.labels, minlength=10) / np.bincount(theirs.target)
        assert np.ptp(shares) < 0.01
    assert data.label_names == tuple("0123456789")
    assert (data.kind, data.channels, data.image_size) == ("builtin", 1, 8)
    assert data.augment.flip == 0  # a mirrored digit is none
    assert data.metrics == ("accuracy", "top5_accuracy")
    assert set(load_image_data(ImageRequest(dataset="digits")).splits) == {"train", "validation"}


def test_fewer_rows_and_other_sizes():
    data = load_image_data(
        ImageRequest(dataset="digits", max_train_samples=100, max_eval_samples=50, image_size=12, channels=3)
    )
    assert data.train.pixels.shape == (100, 3, 12, 12)
    assert len(data.validation["validation"]) == 50
    again = load_image_data(ImageRequest(dataset="digits", max_train_samples=100, max_eval_samples=50, seed=1))
    assert set(again.train.idx) != set(data.train.idx)
    np.testing.assert_array_equal(again.validation["validation"].idx, data.validation["validation"].idx)
    assert len(np.unique(data.validation["validation"].labels)) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 2}, "image_size must be a number at least 4, got 2"),
        ({"image_size": 8.5}, "image_size must be a whole number"),
        ({"channels": 2}, "channels must be 1 .* or 3"),
        ({"validation_share": 1.0}, "validation_share must be"),
        ({"max_train_samples": 0}, "max_train_samples must be"),
        ({"memory_limit": -1}, "memory_limit must be"),
        ({"image_column": "x"}, "--image_column x does not fit --dataset digits"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        load_image_data(ImageRequest(dataset="digits", **options))
