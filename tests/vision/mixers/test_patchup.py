"""PatchUp: its blocks, its amounts, its labels, against the paper's rules worked out another way."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.mixers.patchup import block_sides, seed_rate

BOTH = ("patchup_hard", "patchup_soft")


def plan_of(*lam: float) -> MixPlan:
    keep, rows = torch.tensor(lam), len(lam)
    return MixPlan(torch.stack([torch.arange(rows), torch.arange(rows).roll(1)], 1), torch.stack([keep, 1 - keep], 1))


def maps(rows=4, channels=5, height=16, width=16):
    return torch.randn(rows, channels, height, width, generator=torch.Generator().manual_seed(3))


def mix(name, images, plan, seed=0, **options):
    return MIXERS[name](images, plan, torch.Generator().manual_seed(seed), **options)


def swapped(height=32, width=32, rows=1, **options) -> torch.Tensor:
    """(rows, H, W) bool: where a map of zeros, all channels alike, received its partner's ones."""
    images = torch.arange(2.0).repeat(rows)[:, None, None, None].expand(-1, 1, height, width)
    mixed, _ = mix("patchup_hard", images, plan_of(*[0.5] * (2 * rows)), per="example", **options)
    return mixed[::2, 0] == 1


def test_the_adjusted_rate_golden():
    """gamma .5, block 7, map 32 x 32: .5 * 1024 / (49 * 26 * 26)."""
    assert float(seed_rate(torch.tensor(0.5), (7, 7), 32, 32)) == pytest.approx(0.0154571, abs=1e-7)
    assert float(seed_rate(torch.tensor(0.3), (1, 1), 5, 9)) == pytest.approx(0.3)
    assert float(seed_rate(torch.tensor(1.0), (7, 7), 7, 7)) == 1.0


@pytest.mark.parametrize(("gamma", "mean"), [(0.25, 0.29), (0.5, 0.49), (0.75, 0.63), (0.9, 0.70)])
def test_how_much_is_altered(gamma, mean):
    """A place stays if no centre within reach was drawn: (1 - p)^(a b), a and b the centres within reach on each axis,
    fewer at the edges."""
    reach = torch.tensor([min(i, 3) + min(31 - i, 3) + 1 for i in range(32)])
    p = gamma * 1024 / (49 * 26 * 26)
    expected = float((1 - (1 - p) ** (reach[:, None] * reach)).mean())
    assert expected == pytest.approx(mean, abs=0.011)
    assert float(swapped(rows=1500, gamma=gamma).float().mean()) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 7), (20, 31, 5), (16, 16, 3)])
def test_what_is_swapped_is_whole_blocks_cut_at_the_edges(height, width, size):
    """Beyond the edge everything counts as swapped; what is left after wearing off half a block grows back exactly."""
    holes = swapped(height, width, rows=50, block_size=size, gamma=0.3).float()[:, None]
    half = size // 2
    kept = F.pad(1 - holes, [half] * 4)
    centres = 1 - F.max_pool2d(kept, size, stride=1)
    assert 0 < holes.mean() < 1
    assert torch.equal(F.max_pool2d(centres, size, stride=1, padding=half), holes)


def test_a_block_is_at_most_half_of_a_small_map():
    assert block_sides(7, 32, 14) == (7, 7)
    assert block_sides(7, 8, 7) == (3, 3)
    assert block_sides(7, 4, 1) == (1, 1)
    assert block_sides(5, 11, 64) == (5, 5)
    for side in (2, 4, 7, 8):  # by the authors' rule alone, the last two would be swapped all but wholly
        assert 0.3 < float(swapped(side, side, rows=800).float().mean()) < 0.7


def test_each_channel_has_blocks_of_its_own_or_all_the_same():
    images = torch.stack([torch.zeros(6, 16, 16), torch.ones(6, 16, 16)])
    plan = plan_of(0.5, 0.5)
    for name in BOTH:
        mixed, done = mix(name, images, plan)
        assert len({tuple(channel.flatten().tolist()) for channel in mixed[0]}) > 1
        assert done.mask is not None
        torch.testing.assert_close(1 - mixed[0].mean(0), done.mask[0, 0])
        assert 1 - float(mixed[0].mean()) == pytest.approx(float(done.lam[0]), abs=1e-6)
        mixed, done = mix(name, images, plan, per_channel=False)
        assert len({tuple(channel.flatten().tolist()) for channel in mixed[0]}) == 1


def test_hard_swaps_and_soft_blends_by_the_share_that_was_drawn():
    images, plan = maps(), plan_of(0.3, 0.9, 0.5, 1.0)
    partners = images[plan.sources[:, 1]]
    hard, _ = mix("patchup_hard", images, plan)
    assert bool(((hard == images) | (hard == partners)).all())
    assert bool((hard != images).any())
    soft, done = mix("patchup_soft", images, plan, per_channel=False)
    whole = blend(images, plan)
    assert bool(((soft == images) | (soft - whole).abs().lt(1e-6)).all())
    assert done.mask is not None
    torch.testing.assert_close(soft, done.mask * images + (1 - done.mask) * partners)
    for row, lam in enumerate((0.3, 0.9, 0.5)):
        assert done.mask[row].unique().tolist() == pytest.approx([lam, 1.0])


@pytest.mark.parametrize("name", BOTH)
def test_the_authors_loss_is_twice_that_of_the_returned_plan(name):
    """u H(y) + (1 - u) H(z) + H(u y + (1 - u) z), with u and z as the paper has them."""
    images, plan = maps(), plan_of(0.3, 0.3, 0.3, 0.3)
    _, done = mix(name, images, plan, per_channel=False)
    assert done.mask is not None
    unchanged = (done.mask == 1).float().mean((1, 2, 3))
    labels, logits = torch.tensor([0, 2, 1, 2]), maps(4, 3, 1, 1).flatten(1)
    own = F.one_hot(labels, 3).float()
    other = own[plan.sources[:, 1]]
    block = other if name == "patchup_hard" else 0.3 * own + 0.7 * other
    u = unchanged[:, None]

    def h(target):
        return -(target * logits.log_softmax(1)).sum(1)

    theirs = unchanged * h(own) + (1 - unchanged) * h(block) + h(u * own + (1 - u) * block)
    ours = LogitMixLoss(1, 0, 0)(logits, logits, labels, done).terms["mix"]
    torch.testing.assert_close(theirs, 2 * ours)


def test_without_a_gamma_the_share_decides_how_much_is_swapped():
    lam = (0.1, 0.4, 0.7, 0.95)
    shares = torch.stack([mix("patchup_hard", maps(), plan_of(*lam), seed, gamma=None)[1].lam for seed in range(60)])
    means = shares.mean(0)
    assert bool((means.diff() > 0.1).all())
    # One drawing for the batch: what a row of a larger share gives away, the others give away too.
    masks = mix("patchup_hard", maps(), plan_of(*lam), gamma=None)[1].mask
    assert masks is not None
    assert bool((masks.diff(dim=0) >= 0).all())


@pytest.mark.parametrize("name", BOTH)
def test_gradients_reach_both_sources(name):
    images = maps().requires_grad_()
    mixed, done = mix(name, images, plan_of(0.2, 0.4, 0.6, 0.8))
    mixed.sum().backward()
    assert images.grad is not None
    assert not done.shares.requires_grad
    # Every feature of the batch is handed on once in all: to its own row, or to the row that it is the partner of.
    expected = done.lam.index_add(0, done.sources[:, 1], done.shares[:, 1])
    torch.testing.assert_close(images.grad.mean((1, 2, 3)), expected)


def test_mistakes_are_named():
    images, plan = maps(2), plan_of(0.5, 0.5)
    with pytest.raises(UserError, match=r"gamma must be .* got 1\.5"):
        mix("patchup_soft", images, plan, gamma=1.5)
    for size in (4, 0, 2.5):
        with pytest.raises(UserError, match="block_size must be"):
            mix("patchup_hard", images, plan, block_size=size)
    with pytest.raises(UserError, match="per must be"):
        mix("patchup_hard", images, plan, per="row")
