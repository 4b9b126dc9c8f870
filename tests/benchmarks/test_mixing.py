"""Ours and its rivals do the same work, and the verdicts follow from the numbers; no test looks at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import image_rivals, mixing
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.splits import MemorySplit
from logitmix_hf.vision.mixers import boxes

needs_timm = pytest.mark.skipif(not image_rivals.HAVE_TIMM, reason="needs timm (extra dev)")
ROWS, SIDE, CLASSES = 6, 12, 5


def plan_of(partner: torch.Tensor, lam: float) -> MixPlan:
    keep = torch.full((len(partner),), lam)
    return MixPlan(torch.stack([torch.arange(len(partner)), partner], 1), torch.stack([keep, 1 - keep], 1))


def nothing() -> None:
    return None


def test_a_row_is_judged_by_its_bar():
    fast = mixing.Claim("a", "b", 10, nothing, nothing, faster=1)
    assert mixing.Row(fast, 2.0, 2.0, 1.0).verdict == "met"
    assert mixing.Row(fast, 2.0, 1.9, 0.95).verdict == "MISSED"
    told = mixing.Claim("a", "b", 10, nothing, nothing)
    assert mixing.Row(told, 2.0, 1.0, 0.5).verdict == ""
    masks = mixing.Claim("m", "", 100, nothing, most=0.4)
    assert mixing.Row(masks, 40.0).verdict == "met"
    assert mixing.Row(masks, 40.1).verdict == "MISSED"
    assert mixing.Row(masks, 40.0).each == pytest.approx(0.4)


def test_times_become_medians_and_ratios_of_neighbouring_turns():
    """Ours takes 1 s, the rival 3 s; a machine that slows down tenfold midway changes no ratio, nor who begins how often."""
    clock, order = [0.0], []

    def work(name, seconds):
        def step():
            order.append(name)
            clock[0] += seconds * (10 if len(order) > 26 else 1)

        return step

    claim = mixing.Claim("w", "r", 4, work("ours", 1.0), work("rival", 3.0), faster=2)
    row = mixing.measure(claim, rounds=8, seconds=1.0, now=lambda: clock[0])
    assert row.ratio == pytest.approx(3.0)
    assert row.spread == pytest.approx((3.0, 3.0))
    assert not row.missed
    firsts = order[4::6]  # after one call of each and its timing, three calls a side
    assert firsts == ["ours", "rival"] * 4
    alone = mixing.measure(mixing.Claim("w", "", 4, work("ours", 1.0), most=1.0), 1, 1.0, lambda: clock[0])
    assert (alone.ratio, alone.each) == (None, pytest.approx(2500.0))
    assert alone.missed


def test_the_check_names_the_bar_that_was_missed(monkeypatch, capsys):
    monkeypatch.setattr(mixing.rivals, "HAVE_TIMM", True)
    threads = torch.get_num_threads()
    for ratio, expected in ((1.0, 0), (0.9, 1)):
        claim = mixing.Claim("cutmix", "torchvision v2", 10, nothing, nothing, faster=1)
        monkeypatch.setattr(mixing, "claims", lambda *_, claim=claim: [claim])
        monkeypatch.setattr(
            mixing, "measure", lambda *_, claim=claim, ratio=ratio: mixing.Row(claim, 1.0, ratio, ratio)
        )
        assert mixing.main(["--check", "--threads", str(threads)]) == expected
        assert ("missed: cutmix against torchvision v2: 0.900" in capsys.readouterr().err) == bool(expected)
        assert mixing.main(["--threads", str(threads)]) == 0
    monkeypatch.setattr(mixing.rivals, "HAVE_TIMM", False)
    monkeypatch.setattr(mixing, "measure", lambda *_: mixing.Row(claim, 1.0, 1.0, 1.0))
    assert mixing.main(["--check", "--threads", str(threads)]) == 1
    assert "pip install timm" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--channels_last", "--dense"]])
def test_every_row_is_there(monkeypatch, capsys, flags):
    monkeypatch.setattr(mixing, "SHAPES", ((4, 8, 3),))
    monkeypatch.setattr(mixing, "MASKED", 2)
    monkeypatch.setattr(mixing, "LOADED", 8)
    monkeypatch.setattr(mixing, "LOADED_BATCH", 4)
    threads = str(torch.get_num_threads())
    assert mixing.main(["--rounds", "1", "--seconds", "1e-6", "--threads", threads, *flags]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    found = [tuple(part.strip() for part in line.split("|")[1:3]) for line in lines]
    timm = ["timm on a clone", "timm, batch lost"] if image_rivals.HAVE_TIMM else []
    assert found == [
        *(("mixup, 4 x 3 x 8 x 8", rival) for rival in ["torchvision v2", *timm]),
        *(("cutmix, 4 x 3 x 8 x 8", rival) for rival in ["torchvision v2", *timm]),
        ("resizemix, 4 x 3 x 8 x 8", "its code on torchvision v2"),
        ("resizemix, 4 x 3 x 8 x 8", "torchvision v2's CutMix"),
        ("puzzlemix masks, 8 x 8, 3 levels", ""),
        ("puzzlemix masks, 16 x 16, 3 levels", ""),
        ("batches of 4 from memory, 32 x 32", "torchvision v2 on PIL"),
    ]


@pytest.mark.parametrize("mixer", ["mixup", "cutmix", "resizemix"])
def test_ours_leaves_the_batch_and_mixes_targets(mixer):
    images, labels = image_rivals.batch(ROWS, SIDE, CLASSES)
    before = images.clone()
    mixed, targets = image_rivals.ours(mixer, images, labels, CLASSES, dense=True)()
    assert torch.equal(images, before)
    assert mixed.data_ptr() != images.data_ptr()
    assert targets.shape == (ROWS, CLASSES)
    torch.testing.assert_close(targets.sum(1), torch.ones(ROWS))


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_mixup_is_torchvisions_and_timms(monkeypatch, lam):
    images, labels = image_rivals.batch(ROWS, SIDE, CLASSES)
    transform = v2.MixUp(num_classes=CLASSES)
    monkeypatch.setattr(transform, "make_params", lambda _: {"lam": lam})
    _same("mixup", images, labels, torch.arange(ROWS).roll(1), lam, transform(images, labels))
    if image_rivals.HAVE_TIMM:
        from timm.data.mixup import Mixup

        mix = Mixup(1.0, num_classes=CLASSES, label_smoothing=0.0)
        monkeypatch.setattr(mix, "_params_per_batch", lambda: (lam, False))
        _same("mixup", images, labels, torch.arange(ROWS).flip(0), lam, mix(images.clone(), labels))


def _same(mixer, images, labels, partner, lam, expected):
    mixed, done = MIXERS[mixer](images, plan_of(partner, lam), torch.Generator().manual_seed(3))
    torch.testing.assert_close(mixed, expected[0])
    torch.testing.assert_close(image_rivals.targets(labels, done, CLASSES), expected[1])


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.81, 1.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_cutmix_is_torchvisions_around_the_same_centre(monkeypatch, lam, layout):
    images, labels = image_rivals.batch(ROWS, SIDE, CLASSES)
    images = images.to(memory_format=layout)
    y, x = (int(torch.randint(SIDE, (1,), generator=one)) for one in [torch.Generator().manual_seed(3)] * 2)
    centres = iter([x, y])  # torchvision draws the column first
    transform = v2.CutMix(num_classes=CLASSES)
    monkeypatch.setattr(transform._dist, "sample", lambda _: torch.tensor([lam], dtype=torch.float64))
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(centres)]))
    expected = transform(images, labels)
    monkeypatch.undo()
    _same("cutmix", images, labels, torch.arange(ROWS).roll(1), lam, expected)


@pytest.mark.parametrize("place", [(0, 0), (7, 11)])
def test_resizemix_is_the_rivals_of_the_same_scale_and_place(monkeypatch, place):
    """Scale .1 + .7 (1 - lam); at lam = 3/7 that is 1/2, and a side of 6 shows every second pixel."""
    images, labels = image_rivals.batch(ROWS, SIDE, CLASSES)
    drawn = [iter(place), iter(place)]
    transform = image_rivals.ResizeMix(num_classes=CLASSES)
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, *_: self.fill_(0.5))
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(drawn[0])]))
    expected = transform(images, labels)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(drawn[1])]))
    _same("resizemix", images, labels, torch.arange(ROWS).roll(1), 3 / 7, expected)


@needs_timm
def test_timms_box_has_our_area_but_for_an_odd_side():
    """timm keeps the pixel of an odd side that the authors' code, torchvision and ours lose."""
    from timm.data import mixup

    for lam in (0.0, 0.19, 0.36, 0.5, 0.97):
        side = int(32 * (1 - lam) ** 0.5)
        centre = torch.tensor([16])
        top, bottom, left, right = (int(one) for one in boxes.clipped_box(torch.tensor([lam]), centre, centre, 32, 32))
        assert bottom - top == right - left == 2 * (side // 2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mixup.np.random, "randint", lambda *_, **__: 16)
            first, last, *_ = mixup.rand_bbox((1, 3, 32, 32), lam)
        assert last - first == side


@pytest.mark.parametrize("mixer", ["cutmix", "resizemix", "saliencymix"])
@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 0.75, 0.999, 1.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("gradient", [False, True])
def test_one_box_for_the_batch_is_what_rows_of_their_own_would_be(monkeypatch, mixer, lam, layout, gradient):
    images = torch.rand(5, 3, 14, 9, generator=torch.Generator().manual_seed(1)).to(memory_format=layout)
    images.requires_grad_(gradient)
    plan = plan_of(torch.tensor([3, 0, 4, 2, 1]), lam)
    saliency = images.detach().mean(1) if MIXERS[mixer].needs_saliency else None

    def mix():
        made = MIXERS[mixer](images, plan, torch.Generator().manual_seed(7), saliency=saliency, per="batch")
        return *made, torch.autograd.grad(made[0].square().sum(), images)[0] if gradient else torch.zeros(())

    one, done, slope = mix()
    monkeypatch.setattr(boxes, "one_share", lambda *_: None)
    each, expected, slopes = mix()
    assert torch.equal(one, each)
    assert torch.equal(done.mask, expected.mask)
    torch.testing.assert_close(done.shares, expected.shares, rtol=0, atol=1e-7)
    torch.testing.assert_close(slope, slopes)
    assert one.is_contiguous(memory_format=layout)


def test_masks_are_labels_of_every_block():
    labels = image_rivals.puzzle_masks(20, 8, 3)()
    assert labels.shape == (20, 8, 8)
    assert set(labels.unique().tolist()) == {0, 1, 2}


def test_batches_from_memory_are_what_torchvision_makes_of_pil():
    """With the corners and flips that ours drew, by torchvision's own functions."""
    images, labels = image_rivals.pixels(16, 32)
    split, augment = MemorySplit(images, labels), Augment()
    batch = ImageCollator(split, image_rivals.MEAN, image_rivals.STD, augment)(split.__getitems__(list(range(16))))
    rows = np.arange(16)
    top, left = augment.corners(rows, 0, 8)
    flips = augment.flips(rows, 0)
    assert 0 < flips.sum() < 16
    normalise = v2.Compose(image_rivals.pipeline(32).transforms[2:])
    for row in rows:
        picture = v2.functional.pad(Image.fromarray(images[row]), [4, 4, 4, 4])
        picture = v2.functional.crop(picture, int(top[row]), int(left[row]), 32, 32)
        picture = v2.functional.horizontal_flip(picture) if flips[row] else picture
        torch.testing.assert_close(batch["pixel_values"][row], normalise(picture), rtol=1e-5, atol=1e-5)
    assert batch["labels"].tolist() == labels.tolist()
    found = image_rivals.from_pil(images, labels, 5)()
    assert (found[0].shape, found[0].dtype, found[1].dtype) == ((5, 3, 32, 32), torch.float32, torch.int64)
    assert image_rivals.from_memory(images, labels, 5)()["pixel_values"].shape == (5, 3, 32, 32)
