"""PuzzleMix as a mixer: what comes out of a batch of images, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan, draw_plan
from logitmix_hf.vision.mixers.puzzle import PUZZLEMIX


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(
    rows: int = 6, height: int = 32, width: int = 32, dtype=torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Images without a dark pixel, and a saliency that varies."""
    made = generator(seed)
    images = torch.rand(rows, 3, height, width, generator=made) * 0.9 + 0.1
    return images.to(dtype), torch.rand(rows, height, width, generator=made) ** 4


def pairs(share: Tensor | list[float]) -> MixPlan:
    """Rows paired with the next one around; row i keeps ``share[i]``."""
    keep = torch.as_tensor(share, dtype=torch.float32)
    rows = torch.arange(len(keep))
    return MixPlan(torch.stack([rows, rows.roll(-1)], 1), torch.stack([keep, 1 - keep], 1))


@pytest.mark.parametrize("blocks", [None, 2, 4, 8, 16])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_images_and_shares_follow_the_mask(blocks, levels):
    """Without transport the mixture is the mask's blend, and the shares are its means, row by row."""
    images, saliency = batch()
    plan = draw_plan(6, 1.0, generator(1), per="example")
    mixed, done = PUZZLEMIX(images, plan, generator(), saliency=saliency, blocks=blocks, levels=levels, transport=False)
    mask = done.mask
    assert mask is not None
    assert mask.shape == (6, 1, 32, 32)
    torch.testing.assert_close(mixed, mask * images + (1 - mask) * images[plan.sources[:, 1]])
    torch.testing.assert_close(done.lam, mask.mean((1, 2, 3)), rtol=0, atol=1e-6)
    torch.testing.assert_close(done.shares.sum(1), torch.ones(6))
    assert torch.equal(done.sources, plan.sources)
    assert torch.allclose((mask * (levels - 1)).round() / (levels - 1), mask)
    if blocks:
        side = 32 // blocks
        assert torch.equal(mask, mask[:, :, ::side, ::side].repeat_interleave(side, 2).repeat_interleave(side, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
def test_any_dtype_and_layout_untouched_and_the_same_again(dtype, channels_last):
    images, saliency = batch(dtype=dtype)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    before, plan = (images.clone(), saliency.clone()), pairs([0.2, 0.5, 0.8, 0.4, 1.0, 0.0])
    torch.manual_seed(1)
    mixed, done = PUZZLEMIX(images, plan, generator(3), saliency=saliency)
    torch.manual_seed(2)
    again, _ = PUZZLEMIX(images, plan, generator(3), saliency=saliency)
    assert torch.equal(mixed, again)
    assert torch.equal(images, before[0])
    assert torch.equal(saliency, before[1])
    assert mixed.dtype == dtype
    assert mixed.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert done.shares.dtype == torch.float32
    full, _ = PUZZLEMIX(images.double(), plan, generator(3), saliency=saliency)
    # Rounded once, at the end.
    torch.testing.assert_close(mixed.double(), full, rtol=torch.finfo(dtype).eps, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"levels": 2, "eta": 0.0}, {"transport_size": 1, "transport_eps": 0.0}])
def test_a_share_of_one_is_the_image_itself(options):
    images, saliency = batch()
    noise = torch.randn(images.shape, generator=generator())
    plan = pairs([1.0, 0.3, 1.0, 0.6, 1.0, 1.0])
    mixed, done = PUZZLEMIX(images, plan, generator(), saliency=saliency, noise=noise, **options)
    whole = plan.lam == 1
    assert torch.equal(mixed[whole], images[whole])
    assert (done.lam[whole] == 1).all()
    assert (done.lam[~whole] < 1).any()


@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 9), (6, 40), (2, 2), (7, 14)])
def test_any_size_that_a_count_divides(height, width):
    images, saliency = batch(3, height, width)
    for seed in range(4):
        mixed, done = PUZZLEMIX(images, pairs([0.3, 0.5, 0.9]), generator(seed), saliency=saliency)
        assert mixed.shape == images.shape
        assert torch.isfinite(mixed).all()
        assert done.mask is not None
        torch.testing.assert_close(done.lam, done.mask.mean((1, 2, 3)))


def test_the_number_of_blocks_is_drawn_from_those_of_the_authors_that_divide():
    images, saliency = batch(2, 24, 24)
    seen = set()
    for seed in range(40):
        _, done = PUZZLEMIX(images, pairs([0.5, 0.5]), generator(seed), saliency=saliency, levels=2, beta=0.0)
        mask = done.mask
        assert mask is not None
        coarse = [
            n for n in range(1, 25) if 24 % n == 0 and torch.equal(mask, enlarge(mask[:, :, :: 24 // n, :: 24 // n]))
        ]
        seen.add(min(coarse))
    assert seen == {2, 4, 8}


def enlarge(mask: Tensor, size: int = 24) -> Tensor:
    return mask.repeat_interleave(size // mask.shape[2], 2).repeat_interleave(size // mask.shape[3], 3)


@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("blocks", [4, 16])
def test_swapping_the_images_turns_the_mask_over(levels, blocks):
    """Two rows that are each other's partner, with shares s and 1 - s."""
    for seed in range(5):
        images, saliency = batch(2, seed=seed)
        share = 0.1 + 0.2 * seed
        options = {"saliency": saliency, "blocks": blocks, "levels": levels, "transport": False}
        _, done = PUZZLEMIX(images, pairs([share, 1 - share]), generator(), **options)
        assert done.mask is not None
        torch.testing.assert_close(done.mask[0], 1 - done.mask[1])


def test_the_share_pulls_the_mask():
    images, saliency = batch(4)
    previous = torch.zeros(4)
    for share in (1e-7, 0.2, 0.5, 0.8, 1 - 1e-7):
        _, done = PUZZLEMIX(images, pairs([share] * 4), generator(), saliency=saliency, blocks=4, eta=1.0)
        assert (done.lam >= previous).all()
        previous = done.lam
        if share < 1e-6:
            assert (done.lam == 0).all()
    assert (previous == 1).all()


def test_without_prior_and_smoothness_each_block_shows_the_more_salient_image():
    images, saliency = batch(2)
    options = {"blocks": 8, "levels": 3, "beta": 0.0, "eta": 0.0, "transport": False}
    _, done = PUZZLEMIX(images, pairs([0.9, 0.1]), generator(), saliency=saliency, **options)
    pooled = saliency.double().reshape(2, 8, 4, 8, 4).mean((2, 4))
    pooled /= pooled.sum((1, 2), keepdim=True)
    assert done.mask is not None
    assert torch.equal(done.mask[0, 0, ::4, ::4] == 1, pooled[0] > pooled[1])
    assert done.mask[0].unique().tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_flat_and_no_saliency_leave_it_to_the_prior(value):
    """At lam 1/2 the half of three levels is the likeliest, and costs nothing at any border."""
    images = batch(4)[0][:1].expand(4, -1, -1, -1)
    saliency = torch.full((4, 32, 32), value)
    mixed, done = PUZZLEMIX(images, pairs([0.5] * 4), generator(), saliency=saliency)
    assert (done.lam == 0.5).all()
    torch.testing.assert_close(mixed, images)


@pytest.mark.parametrize("transport", [False, True])
def test_peaks_of_both_images_are_kept(transport):
    """All of one image's saliency lies in a corner, of the other's in the opposite one."""
    images = torch.stack([torch.full((3, 32, 32), 0.25), torch.full((3, 32, 32), 0.75)])
    saliency = torch.zeros(2, 32, 32)
    saliency[0, :4, :4] = saliency[1, -4:, -4:] = 1
    options = {"saliency": saliency, "blocks": 8, "transport": transport}
    mixed, done = PUZZLEMIX(images, pairs([0.5, 0.5]), generator(), **options)
    mask = done.mask
    assert mask is not None
    assert mask[0, 0, 0, 0] == mask[1, 0, -1, -1] == 1
    assert mask[0, 0, -1, -1] == mask[1, 0, 0, 0] == 0
    assert (mixed[0, :, :4, :4] == 0.25).all()
    assert (mixed[0, :, -4:, -4:] == 0.75).all()


def test_no_block_goes_black():
    """Blocks without any saliency, of which the authors' transport loses some."""
    images, saliency = batch(16)
    saliency[:, 8:, :] = 0
    saliency[1::2] = 0
    for seed in range(4):
        mixed, _ = PUZZLEMIX(images, draw_plan(16, 1.0, generator(seed)), generator(seed), saliency=saliency)
        assert mixed.min() >= images.min()


@pytest.mark.parametrize(
    ("blocks", "size", "fine"), [(2, 4, 8), (4, 4, 8), (8, 4, 8), (16, 4, 16), (2, None, 2), (4, 1, 16)]
)
def test_what_moves_are_whole_blocks_of_the_image(blocks, size, fine):
    """Each place shows one block of each image; of the row itself no block twice."""
    side = 32 // fine
    number = (
        torch.arange(1.0, fine * fine + 1).reshape(fine, fine).repeat_interleave(side, 0).repeat_interleave(side, 1)
    )
    images = torch.stack([number, -number]).unsqueeze(1)
    saliency = batch(2, seed=4)[1] ** 4
    options = {"blocks": blocks, "levels": 2, "transport_size": size, "transport_eps": 0.02}
    mixed, done = PUZZLEMIX(images, pairs([0.5, 0.5]), generator(), saliency=saliency, **options)
    assert done.mask is not None
    shown = mixed[0, 0, ::side, ::side]
    assert torch.equal(mixed[0, 0], shown.repeat_interleave(side, 0).repeat_interleave(side, 1))
    assert torch.equal(shown > 0, done.mask[0, 0, ::side, ::side] == 1)
    assert len(shown.unique()) == fine * fine
    if fine > 2:
        assert (shown.abs() != number[::side, ::side]).any()


def test_noise_comes_after_the_mask():
    images, saliency = batch()
    noise = torch.rand(images.shape, generator=generator(9))
    plan = pairs([0.2, 0.5, 0.8, 0.4, 0.3, 0.6])
    options = {"saliency": saliency, "blocks": 8, "transport": False}
    plain, done = PUZZLEMIX(images, plan, generator(), **options)
    mask, partner = done.mask, plan.sources[:, 1]
    assert mask is not None
    for noisy, added in {
        "own": mask * noise,
        "partner": (1 - mask) * noise[partner],
        "both": mask * noise + (1 - mask) * noise[partner],
    }.items():
        mixed, same = PUZZLEMIX(images, plan, generator(), noise=noise, noisy=noisy, **options)
        assert same.mask is not None
        assert torch.equal(same.mask, mask)
        torch.testing.assert_close(mixed, plain + added)


def test_tensors_that_carry_gradients_are_taken_as_they_are():
    """As they come from the pass that made the saliency."""
    images, saliency = batch()
    plan = pairs([0.2, 0.5, 0.8, 0.4, 0.3, 0.6])
    plain, _ = PUZZLEMIX(images, plan, generator(), saliency=saliency)
    mixed, done = PUZZLEMIX(images.requires_grad_(), plan, generator(), saliency=saliency.requires_grad_())
    assert torch.equal(mixed, plain)
    assert not done.shares.requires_grad


def test_one_row_is_mixed_with_itself():
    images, saliency = batch(1)
    mixed, done = PUZZLEMIX(images, draw_plan(1, 1.0, generator()), generator(), saliency=saliency, transport=False)
    torch.testing.assert_close(mixed, images)
    assert done.shares.sum() == 1


@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        ((32, 32), {"blocks": 5}, "5 blocks a side do not divide an image of 32 x 32. These do: 2, 4, 8, 16."),
        ((28, 28), {"blocks": 8}, "These do: 2, 4, 7, 14."),
        ((32, 32), {"blocks": 32}, "blocks must be a whole number, at least 2 and at most 16, got 32"),
        ((32, 32), {"blocks": 4.0}, "blocks must be a whole number"),
        ((31, 32), {}, "none of these divides 31 x 32: resize or crop"),
        ((8, 9), {"blocks": 4}, "none of these divides 8 x 9"),
        ((32, 32), {"levels": 1}, "levels must be a whole number, at least 2 and at most 4, got 1"),
        ((32, 32), {"beta": -0.1}, "beta must be a number at least 0"),
        ((32, 32), {"eta": float("nan")}, "eta must be a number at least 0"),
        ((32, 32), {"neighbours": 0}, "neighbours must be a whole number, at least 1"),
        ((32, 32), {"transport_size": 0}, "transport_size must be a whole number, at least 1"),
        ((32, 32), {"std": (0.2, 0.2, 0.2)}, "give both mean and std"),
        ((32, 32), {"noise": torch.zeros(2, 3, 8, 8)}, "noise must have the images' shape"),
        ((32, 32), {"noisy": "none"}, "noisy must be 'both', 'own' or 'partner', got 'none'"),
        ((32, 32), {"block": 4}, "has no option 'block'. Did you mean 'blocks'?"),
    ],
)
def test_mistakes_are_named(size, options, words):
    images, saliency = batch(2, *size)
    with pytest.raises(UserError) as error:
        PUZZLEMIX(images, pairs([0.5, 0.5]), generator(), saliency=saliency, **options)
    assert words in str(error.value)


def test_images_or_saliency_that_are_not_finite_are_named():
    images, saliency = batch(2)
    with pytest.raises(UserError, match="needs saliency of the shape"):
        PUZZLEMIX(images, pairs([0.5, 0.5]), generator())
    with pytest.raises(UserError, match="saliency must be finite"):
        PUZZLEMIX(images, pairs([0.5, 0.5]), generator(), saliency=saliency / 0)
    images[1, 0, 3, 3] = float("nan")
    for scale in ({}, {"mean": (0.5,), "std": (0.5,)}):
        with pytest.raises(UserError, match="images must be finite"):
            PUZZLEMIX(images, pairs([0.5, 0.5]), generator(), saliency=saliency, blocks=8, **scale)
