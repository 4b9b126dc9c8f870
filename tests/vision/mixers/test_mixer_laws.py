"""Laws of every image mixer at once, and the numbers of their papers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan, draw_plan
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.mixers.boxes import clipped_box
from logitmix_hf.vision.mixers.pasting import paste

PASTING = ("cutmix", "saliencymix", "fmix", "cowmask", "hconcat", "vconcat", "mixedconcat")


def pictures(rows=4, channels=3, height=16, width=16, seed=0, dtype=torch.float32):
    return torch.rand(rows, channels, height, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def plan_of(*lam: float) -> MixPlan:
    keep, rows = torch.tensor(lam), len(lam)
    return MixPlan(torch.stack([torch.arange(rows), torch.arange(rows).roll(1)], 1), torch.stack([keep, 1 - keep], 1))


def mix(name, images, plan, seed=0, **options):
    saliency = images.float().mean(1) if MIXERS[name].needs_saliency else None
    return MIXERS[name](images, plan, torch.Generator().manual_seed(seed), saliency=saliency, **options)


@pytest.mark.parametrize("name", MIXERS)
@given(lam=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_shares_are_the_means_of_the_masks_and_the_input_stays(name, lam, seed):
    images, plan = pictures(len(lam), seed=seed), plan_of(*lam)
    before, version = images.clone(), images._version
    mixed, done = mix(name, images, plan, seed)
    assert torch.equal(images, before)
    assert images._version == version
    assert mixed.shape == images.shape
    assert done.mask is not None
    assert done.mask.shape == (len(lam), 1, 16, 16)
    torch.testing.assert_close(done.lam, done.mask.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(done.shares.sum(1), torch.ones(len(lam)))
    assert done.masks.shape == (len(lam), 2, 1, 16, 16)
    torch.testing.assert_close(done.masks.sum(1), torch.ones(len(lam), 1, 16, 16))
    assert torch.equal(done.sources, plan.sources)
    again, same = mix(name, images, plan, seed)
    assert torch.equal(mixed, again)
    assert torch.equal(done.shares, same.shares)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_share_one_gives_the_image_in_any_type(name, dtype):
    images = pictures(3, dtype=dtype)
    mixed, done = mix(name, images, plan_of(1.0, 0.4, 1.0))
    assert mixed.dtype == dtype
    for row in (0, 2):
        assert torch.equal(mixed[row], images[row])
        assert float(done.lam[row]) == 1.0
    assert float(done.lam[1]) < 1


@pytest.mark.parametrize("name", sorted(set(MIXERS) - {"puzzlemix"}))
@pytest.mark.parametrize(("height", "width"), [(1, 9), (7, 5), (12, 31)])
def test_any_size_and_a_batch_of_one(name, height, width):
    for rows in (1, 3):
        images = pictures(rows, 1, height, width)
        mixed, _ = mix(name, images, draw_plan(rows, 1.0, torch.Generator().manual_seed(1)))
        assert mixed.shape == images.shape


@pytest.mark.parametrize("name", PASTING)
def test_every_pixel_is_one_of_two(name):
    images, plan = pictures(), plan_of(0.3, 0.6, 0.5, 0.8)
    mixed, done = mix(name, images, plan)
    assert done.mask is not None
    assert set(done.mask.unique().tolist()) <= {0.0, 1.0}
    expected = done.mask * images + (1 - done.mask) * images[plan.sources[:, 1]]
    torch.testing.assert_close(mixed, expected)
    pasted, again = paste(images, plan, done.masks)
    assert torch.equal(pasted, mixed)
    assert torch.equal(again.shares, done.shares)


def test_the_box_of_cutmix_golden():
    box = clipped_box(torch.tensor([0.36]), torch.tensor([3]), torch.tensor([30]), 32, 32)
    assert [int(side) for side in box] == [0, 15, 18, 32]
    assert 1 - 15 * 14 / 1024 == 0.794921875


def test_clipping_raises_the_mean_share_of_cutmix_and_the_correction_can_be_left_out():
    """32 x 32 at alpha 1: nominal .50, true .70 (seen numerically by others on the authors' code)."""
    generator = torch.Generator().manual_seed(0)
    images, plan = pictures(4000, 1, 32, 32), draw_plan(4000, 1.0, generator, per="example")
    _, done = mix("cutmix", images, plan, per="example")
    assert float(plan.lam.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(done.lam.mean()) == pytest.approx(0.7, abs=0.02)
    assert torch.equal(mix("cutmix", images, plan, lam_correction=False)[1].lam, plan.lam)


def test_the_mean_share_of_resizemix():
    """E[1 - tau^2] = .757 for tau uniform in (.1, .8); whole pixels, rounded down, raise it a little."""
    images, plan = pictures(4000, 1, 64, 64), draw_plan(4000, 1.0, torch.Generator().manual_seed(0), per="example")
    assert float(mix("resizemix", images, plan, per="example")[1].lam.mean()) == pytest.approx(0.757, abs=0.015)


def test_resizemix_pastes_what_torch_makes_small():
    images, plan = pictures(2, 3, 20, 20), plan_of(0.5, 0.5)
    mixed, done = mix("resizemix", images, plan)
    assert done.mask is not None
    side = int(20 * 0.45)
    rows, columns = (done.mask[0, 0] == 0).nonzero(as_tuple=True)
    small = torch.nn.functional.interpolate(images[plan.sources[:, 1]], size=(side, side), mode="nearest")
    top, left = int(rows.min()), int(columns.min())
    assert torch.equal(mixed[..., top : top + side, left : left + side], small)
    assert len(rows) == side * side


@pytest.mark.parametrize("name", ["fmix", "cowmask"])
def test_a_noise_mask_has_the_share_that_was_drawn_to_a_pixel(name):
    _, done = mix(name, pictures(), plan_of(0.25, 0.5, 0.1, 0.99))
    wanted = torch.tensor([0.25, 0.5, 0.1, 0.99])
    assert float((done.lam - wanted).abs().max()) <= 1 / 256 + 1e-6


@pytest.mark.parametrize("name", ["fmix", "cowmask"])
def test_whole_pixels_do_not_shift_the_mean_share(name):
    """Of 16 pixels a share is off by up to a sixteenth, in both directions alike; always down would be .03 on average."""
    plan = draw_plan(4000, 1.0, torch.Generator().manual_seed(0), per="example")
    _, done = mix(name, pictures(4000, 1, 4, 4), plan, per="example")
    assert float((done.lam - plan.lam).abs().max()) > 1 / 40
    assert float((done.lam - plan.lam).mean()) == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize(
    "name", ["cutmix", "resizemix", "fmix", "cowmask", "mixedconcat", "patchup_hard", "patchup_soft"]
)
def test_one_place_for_the_batch_or_one_a_row(name):
    images, plan = pictures(6), plan_of(*[0.5] * 6)
    one, each = (mix(name, images, plan, per=per)[1].mask for per in ("batch", "example"))
    assert one is not None
    assert each is not None
    assert len({tuple(mask.flatten().tolist()) for mask in one}) == 1
    assert len({tuple(mask.flatten().tolist()) for mask in each}) > 1


def test_saliencymix_covers_the_partners_peak():
    images, saliency = pictures(2), torch.zeros(2, 16, 16)
    saliency[0, 4, 11] = saliency[1, 12, 3] = 1.0
    _, done = MIXERS["saliencymix"](images, plan_of(0.8, 0.8), torch.Generator(), saliency=saliency)
    assert done.mask is not None
    assert done.mask[0, 0, 12, 3] == 0
    assert done.mask[1, 0, 4, 11] == 0
    assert done.mask[0, 0, 4, 11] == 1


def test_mistakes_are_named():
    images, plan = pictures(2), plan_of(0.5, 0.5)
    with pytest.raises(UserError, match="no option 'pre'"):
        mix("cutmix", images, plan, pre="batch")
    with pytest.raises(UserError, match="saliency"):
        MIXERS["saliencymix"](images, plan, torch.Generator())
    with pytest.raises(UserError, match="per must be"):
        mix("cutmix", images, plan, per="row")
    with pytest.raises(UserError, match="pairs"):
        mix("cutmix", images, plan_of(0.5))
    with pytest.raises(UserError, match="float"):
        mix("cutmix", (images * 255).byte(), plan)


def test_mixup_blends_more_than_two_images():
    """A pixel of the mixture is the weighted sum of the pixels, and the weights come back."""
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    plan = MixPlan(torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]]), torch.tensor([[0.5, 0.3, 0.2]] * 3))
    mixed, carried = MIXERS["mixup"](images, plan, torch.Generator())
    assert mixed[:, 0, 0, 0].tolist() == pytest.approx([0.7, 1.1, 1.2])
    assert torch.equal(carried.shares, plan.shares)
    assert carried.mask is not None
    assert carried.mask.mean((1, 2, 3)).tolist() == pytest.approx([0.5] * 3)
    assert carried.masks.mean((2, 3, 4)).flatten().tolist() == pytest.approx([0.5, 0.3, 0.2] * 3)


def test_three_images_are_pasted_where_their_masks_are():
    """Columns of width 1, 2 and 3 of a row of 6 pixels: the shares are 1/6, 1/3 and 1/2."""
    images = torch.tensor([10.0, 20.0, 30.0]).reshape(3, 1, 1, 1).expand(3, 2, 2, 6)
    plan = MixPlan(torch.tensor([[0, 1, 2], [1, 2, 0], [2, 2, 2]]), torch.tensor([[0.5, 0.3, 0.2]] * 3))
    columns = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    mixed, carried = paste(images, plan, columns.reshape(1, 3, 1, 1, 6).expand(3, 3, 1, 2, 6))
    assert mixed[:, 1, 1].tolist() == [[10, 20, 20, 30, 30, 30], [20, 30, 30, 10, 10, 10], [30] * 6]
    assert carried.shares.flatten().tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 2] * 3)
    assert carried.mask.shape == (3, 1, 2, 6)
    assert carried.to("cpu").masks is carried.masks
