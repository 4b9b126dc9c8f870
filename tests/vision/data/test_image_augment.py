"""Crops and flips of batches against one image at a time, and the law of their randomness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import augment as module
from logitmix_hf.vision.data.augment import Augment, normalise
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.draws import below, draw, fractions
from logitmix_hf.vision.data.splits import MemorySplit


def one_by_one(pixels, rows, top, left, flip, size, padding, mode):
    """Each image padded by NumPy, sliced, turned round."""
    made = []
    for row, y, x, turned in zip(rows, top, left, flip, strict=True):
        around = ((padding, padding), (padding, padding), (0, 0))
        padded = np.pad(pixels[row], around, mode="reflect" if mode == "reflect" else "constant")
        cut = padded[y : y + size, x : x + size]
        made.append(cut[:, ::-1] if turned else cut)
    return np.stack(made)


@settings(max_examples=60, deadline=None)
@given(
    side=st.integers(3, 9),
    channels=st.sampled_from([1, 3]),
    padding=st.integers(0, 4),
    smaller=st.integers(0, 2),
    mode=st.sampled_from(["zero", "reflect"]),
    batch=st.integers(1, 7),
    seed=st.integers(0, 2**32),
)
def test_windows_are_slices_of_the_padded_image(side, channels, padding, smaller, mode, batch, seed):
    if mode == "reflect":
        padding = min(padding, side - 1)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (5, side, side, channels), dtype=np.uint8)
    size = side - smaller
    slack = side + 2 * padding - size
    rows, top, left = rng.integers(0, 5, batch), rng.integers(0, slack + 1, batch), rng.integers(0, slack + 1, batch)
    flip = rng.random(batch) < 0.5
    expected = one_by_one(pixels, rows, top, left, flip, size, padding, mode)
    before = pixels.copy()
    for road in (module._windows_by_copy, module._windows_by_index):
        found = road(torch.from_numpy(pixels), np.stack([rows, top, left, flip]), size, padding, mode)
        assert found.dtype == torch.uint8
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(pixels, before)


def test_normalising_is_that_of_torchvision():
    from torchvision.transforms.v2 import functional as v2

    pixels = torch.randint(0, 256, (3, 5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    expected = v2.normalize(pixels.permute(0, 3, 1, 2).float() / 255, list(mean), list(std))
    found = normalise(pixels, mean, std)
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


def split_of(rows: int = 40, side: int = 6, channels: int = 3, **options) -> MemorySplit:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, side, side, channels), dtype=np.uint8)
    return MemorySplit(pixels, np.arange(rows) % 3, **options)


@pytest.mark.parametrize("crop", ["pad", "resized", "none"])
def test_a_row_is_augmented_alike_in_every_batch(crop):
    split = split_of(size=5)
    augment = Augment(crop=crop, padding=2, seed=7)
    collate = ImageCollator(split, (0.5,) * 3, (0.25,) * 3, augment)
    split.set_epoch(3)
    whole = collate(split.__getitems__(list(range(40))))["pixel_values"]
    for positions in ([4], [4, 4, 9], list(range(39, -1, -1)), list(range(3, 20))):
        batch = collate([split[position] for position in positions])
        torch.testing.assert_close(batch["pixel_values"], whole[positions], rtol=0, atol=0)
        assert batch["labels"].tolist() == [position % 3 for position in positions]
        assert batch["labels"].dtype == torch.int64
    split.set_epoch(4)
    assert not torch.equal(collate(split.__getitems__(list(range(40))))["pixel_values"], whole)
    split.set_epoch(3)
    assert torch.equal(collate(split.__getitems__(list(range(40))))["pixel_values"], whole)
    other = ImageCollator(split, (0.5,) * 3, (0.25,) * 3, Augment(crop=crop, padding=2, seed=8))
    assert not torch.equal(other(split.__getitems__(list(range(40))))["pixel_values"], whole)


def test_a_row_keeps_its_augmentation_when_others_are_left_out():
    """Randomness hangs on the row's number in the data, not on its position in what was kept of it."""
    whole = split_of()
    part = MemorySplit(
        whole.pixels.permute(0, 2, 3, 1), np.arange(3), idx=np.array([5, 17, 30]), at=np.array([5, 17, 30])
    )
    augment = Augment(padding=2)
    assert torch.equal(part.take(np.arange(3), augment), whole.take(np.array([5, 17, 30]), augment))
    assert torch.equal(part.pixels, whole.pixels[[5, 17, 30]])


def test_nothing_global_is_drawn_or_changed():
    split = split_of(size=5)
    before, torch_state, numpy_state = split.pixels.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()
    for crop in ("pad", "resized"):
        batch = ImageCollator(split, (0.5,) * 3, (0.25,) * 3, Augment(crop=crop))(split.__getitems__([0, 1, 2]))
        batch["pixel_values"].zero_()
    assert torch.equal(split.pixels, before)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_evaluation_is_the_centre():
    split = split_of(side=8, size=5)
    found = split.take(np.arange(4), None).permute(0, 3, 1, 2)
    assert torch.equal(found, split.pixels[:4, :, 1:6, 1:6])
    collate = ImageCollator({"train": split, "validation": split_of(name="validation")}, (0,) * 3, (1,) * 3, Augment())
    plain = collate([{"row": 2, "split": "validation"}])["pixel_values"]
    torch.testing.assert_close(plain[0] * 255, split_of().pixels[2].float())


def test_corners_and_flips_are_uniform():
    """Fixed seed; 81 equally likely corners, half of all rows flipped, epochs and draws independent of each other."""
    rows = np.arange(40_000)
    augment = Augment(seed=1)
    top, left = augment.corners(rows, 0, 8)
    assert chisquare(np.bincount(top * 9 + left, minlength=81)).pvalue > 0.001
    flips = augment.flips(rows, 0)
    assert abs(flips.mean() - 0.5) < 0.01
    later, _ = augment.corners(rows, 1, 8)
    assert chisquare(np.bincount(top * 9 + later, minlength=81)).pvalue > 0.001
    assert chisquare(np.bincount(top * 2 + flips, minlength=18)).pvalue > 0.001
    assert chisquare(np.bincount(top[:-1] * 9 + top[1:], minlength=81)).pvalue > 0.001  # neighbouring rows
    assert kstest(fractions(draw(1, 0, rows, 5)), "uniform").pvalue > 0.001
    assert Augment(flip=0.0).flips(rows, 0).sum() == 0
    assert Augment(flip=1.0).flips(rows, 0).all()


def test_the_hash_is_splitmix64_and_stays():
    """The first outputs of SplitMix64 from state 0 are known; ours is two of its steps, so it is held by value."""
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    from logitmix_hf.vision.data.draws import _mix

    step = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        assert _mix(np.array([0, step, 2 * step % 2**64], np.uint64)).tolist() == known
    assert draw(42, 3, np.array([0, 7]), 1).tolist() == draw(42, 3, np.array([7, 0]), 1)[::-1].tolist()
    assert len({int(draw(s, e, np.array([r]), n)[0]) for s in range(3) for e in range(3) for r in range(3) for n in range(3)}) == 81  # fmt: skip  # noqa: E501
    assert below(np.array([2**64 - 1, 10], np.uint64), 10).tolist() == [5, 0]  # 2^64 - 1 = ...615


def test_boxes_keep_to_their_area_ratio_and_image():
    rows = np.arange(20_000)
    augment = Augment(crop="resized")
    top, left, height, width = augment.boxes(rows, 0, 50, 70).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 50).all()
    assert (left + width <= 70).all()
    share = height * width / 3500
    assert 0.07 < share.min() < 0.1
    assert 0.9 < share.max() <= 1
    assert (width / height).min() > 0.7
    assert (width / height).max() < 1.43
    # The laws of torchvision's own: the same quantiles of area and of place.
    from torchvision.transforms import v2

    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(8)
    image = torch.zeros(1, 50, 70)
    drawn = [theirs.make_params([image]) for _ in range(2_000)]
    areas = np.array([one["height"] * one["width"] for one in drawn]) / 3500
    np.testing.assert_allclose(np.quantile(share, [0.2, 0.5, 0.8]), np.quantile(areas, [0.2, 0.5, 0.8]), atol=0.025)
    centres = np.array([one["left"] + one["width"] / 2 for one in drawn])
    np.testing.assert_allclose(
        np.quantile(left + width / 2, [0.2, 0.5, 0.8]), np.quantile(centres, [0.2, 0.5, 0.8]), atol=2.0
    )


def test_a_box_that_never_fits_is_the_centre_of_an_allowed_shape():
    """As torchvision: of 10 x 100 the widest window that keeps 4 : 3."""
    narrow = Augment(crop="resized", scale=(1.0, 1.0))
    assert narrow.boxes(np.arange(3), 0, 10, 100).tolist() == [[0, 43, 10, 13]] * 3
    assert narrow.boxes(np.arange(3), 0, 100, 10).tolist() == [[43, 0, 13, 10]] * 3


def test_resizing_a_window_is_torchs_own():
    pixels = torch.randint(0, 256, (3, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = np.array([[0, 0, 12, 12], [2, 3, 5, 7], [4, 0, 8, 8]])
    found = module.resized(pixels, boxes, 9)
    for row, (top, left, height, width) in enumerate(boxes):
        window = pixels[row, top : top + height, left : left + width].permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(window, (9, 9), mode="bilinear", align_corners=False)
        inner = (found[row].permute(2, 0, 1).float() - expected[0]).abs()[:, 1:-1, 1:-1]
        assert inner.max() <= 0.51  # rounding; at the border ours sees the pixels beside the window
    whole = module.resized(pixels, np.array([[0, 0, 12, 12]] * 3), 12)
    assert torch.equal(whole, pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "padd"}, "No crop is called 'padd'. Did you mean 'pad'"),
        ({"padding_mode": "mirror"}, "No padding mode is called 'mirror'"),
        ({"padding": -1}, "padding must be a number at least 0"),
        ({"flip": 1.5}, "flip must be a number at least 0 and at most 1"),
        ({"scale": (0.5, 0.2)}, "scale must be"),
        ({"ratio": (0.0, 1.0)}, "ratio must be"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Augment(**options)


def test_a_reflection_needs_pixels():
    with pytest.raises(UserError, match="Reflecting 6 pixels needs images of more than 6"):
        ImageCollator(split_of(), (0,) * 3, (1,) * 3, Augment(padding=6, padding_mode="reflect"))


def test_one_batch_is_of_one_split():
    collate = ImageCollator({"train": split_of(), "test": split_of(name="test")}, (0,) * 3, (1,) * 3)
    with pytest.raises(UserError, match="rows of several splits: test, train"):
        collate([{"row": 0, "split": "train"}, {"row": 0, "split": "test"}])
    with pytest.raises(IndexError):
        split_of()[40]
    assert split_of()[-1]["row"] == 39
    assert "labels" not in ImageCollator(MemorySplit(np.zeros((2, 3, 3, 1), np.uint8), None), (0,), (1,))([{"row": 0}])
