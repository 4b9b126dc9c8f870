"""AugMix of batches, against Pillow's operations, and its laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import ndimage

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import Augment, ImageCollator, MemorySplit, augmix

ROWS = np.array([3, 14, 15, 92, 65])


@pytest.fixture(scope="module")
def images():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(5, 32, 32, 3)), (0, 2, 2, 0))
    scaled = 20 + 200 * (noise - noise.min()) / np.ptp(noise)
    return torch.from_numpy(scaled.astype(np.uint8))


@pytest.mark.parametrize("form", ["original", "mixmo"])
def test_a_row_is_the_same_in_every_batch_and_run(images, form):
    whole = augmix.augmix(images, form, 7, 2, ROWS)
    assert whole.shape == images.shape
    assert whole.dtype == torch.float32
    assert torch.equal(whole, augmix.augmix(images, form, 7, 2, ROWS))
    for at in ([2], [4, 0, 2]):
        assert torch.equal(augmix.augmix(images[at], form, 7, 2, ROWS[at]), whole[at])
    before = torch.random.get_rng_state()
    for other in (
        augmix.augmix(images, form, 8, 2, ROWS),
        augmix.augmix(images, form, 7, 3, ROWS),
        augmix.augmix(images, form, 7, 2, ROWS + 1),
        augmix.augmix(images, form, 7, 2, ROWS, view=1),
    ):
        assert not torch.equal(whole, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert 0 <= whole.min() <= whole.max() <= 255.01


def plan(form="original", rows=5, operation=0, level=0.0, sign=1.0, keep=1.0, depth=1):
    shape = (rows, 3, 3)
    return augmix.Plan(
        keep=np.full(rows, keep),
        weights=np.full((rows, 3), 1 / 3),
        depth=np.full((rows, 3), depth),
        operations=np.full(shape, operation),
        levels=np.full(shape, level),
        signs=np.full(shape, sign),
    )


def test_without_a_share_of_the_chains_it_is_the_image(images):
    drawn = augmix.draw_chains("original", 0, 0, ROWS)
    made = augmix.apply_chains(images, "original", replace(drawn, keep=np.zeros(5)))
    assert torch.equal(made, images.float())


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "solarize"])
def test_at_level_0_an_operation_leaves_the_image(images, name):
    number = augmix.OPERATIONS["original"].index(name)
    made = augmix.apply_chains(images, "original", plan(operation=number, level=0.0, depth=3))
    torch.testing.assert_close(made, images.float(), atol=1e-3, rtol=0)


def pillow(picture, name, level, sign):
    """The operations as AugMix's authors call them."""
    shift, slope = sign * int(level * 32 / 30), sign * 0.03 * level
    affine = {
        "shear_x": (1, slope, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, slope, 1, 0),
        "translate_x": (1, 0, shift, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, shift),
    }
    if name in affine:
        return picture.transform((32, 32), Image.Transform.AFFINE, affine[name], resample=Image.Resampling.BILINEAR)
    return {
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
        "posterize": lambda: ImageOps.posterize(picture, 4 - int(level * 0.4)),
        "rotate": lambda: picture.rotate(sign * int(level * 3), resample=Image.Resampling.BILINEAR),
        "solarize": lambda: ImageOps.solarize(picture, 256 - int(level * 25.6)),
    }[name]()


@pytest.mark.parametrize("name", augmix.OPERATIONS["original"])
@pytest.mark.parametrize(("level", "sign"), [(2.9, 1), (1.2, -1)])
def test_operations_are_pillows(images, name, level, sign):
    number = augmix.OPERATIONS["original"].index(name)
    made = augmix.apply_chains(images, "original", plan(operation=number, level=level, sign=sign))
    expected = np.stack([np.asarray(pillow(Image.fromarray(one), name, level, sign)) for one in images.numpy()])
    off = (made.numpy() - expected).__abs__()
    assert (off > 1.01).mean() < 2e-3, off.max()  # a pixel may lie on the very edge
    assert (off > 0.01).mean() < (0.2 if name in ("rotate", "shear_x", "shear_y") else 0.01)


def test_mixmos_solarize_is_nearly_a_negative(images):
    number = augmix.OPERATIONS["mixmo"].index("solarize")
    made = augmix.apply_chains(images, "mixmo", plan("mixmo", operation=number, level=1.0))
    x = images.float()
    torch.testing.assert_close(made, torch.where(x < 25.6, x, 255 - x), atol=1e-3, rtol=0)


def test_draws_have_the_laws_of_the_paper():
    drawn = augmix.draw_chains("original", 0, 0, np.arange(20_000))
    np.testing.assert_allclose(drawn.weights.sum(1), 1)
    assert drawn.keep.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.keep.var() == pytest.approx(1 / 12, abs=0.003)
    np.testing.assert_allclose(drawn.weights.mean(0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(drawn.weights.var(0), 1 / 18, atol=0.003)  # Dirichlet(1, 1, 1)
    assert [(drawn.depth == one).mean() for one in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.01)
    assert drawn.operations.max() == 8
    assert 0.1 <= drawn.levels.min() < 0.11
    assert 2.99 < drawn.levels.max() < 3
    assert (drawn.signs == 1).mean() == pytest.approx(0.5, abs=0.01)
    other = augmix.draw_chains("mixmo", 0, 0, np.arange(20_000))
    assert [(other.depth == one).mean() for one in (1, 2, 3, 4)] == pytest.approx([1 / 4] * 4, abs=0.01)
    assert (len(augmix.OPERATIONS["original"]), len(augmix.OPERATIONS["mixmo"])) == (9, 10)


def test_only_training_is_augmented_and_views_follow_the_plain_rows(images):
    splits = {name: MemorySplit(images.numpy(), np.arange(5), name=name) for name in ("train", "validation")}
    quiet = Augment(crop="none", flip=0.0)
    items = [{"row": row, "split": "train"} for row in range(5)]

    def batch(augment, split="train"):
        collator = ImageCollator(splits, (0.0,) * 3, (1 / 255,) * 3, augment)
        return collator([{**item, "split": split} for item in items])

    plain, mixed = batch(quiet), batch(replace(quiet, augmix="original"))
    assert not torch.equal(plain["pixel_values"], mixed["pixel_values"])
    viewed = batch(replace(quiet, augmix="original", views=2))
    first, one, other = viewed["pixel_values"].chunk(3)
    torch.testing.assert_close(first, plain["pixel_values"])
    assert torch.equal(one, mixed["pixel_values"])
    assert not torch.equal(one, other)
    assert len(viewed["labels"]) == 5
    assert torch.equal(
        batch(replace(quiet, augmix="original"), "validation")["pixel_values"],
        batch(None, "validation")["pixel_values"],
    )


def test_an_unknown_form(images):
    with pytest.raises(UserError, match=r"'originl'.*'original'"):
        augmix.augmix(images, "originl", 0, 0, ROWS)
