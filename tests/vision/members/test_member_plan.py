"""Who sees what: the laws of MixMo's masks, shares and weights."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from logitmix_hf.errors import UserError
from logitmix_hf.vision.members import MASKS, draw_members, mask_probability, member_weights

BINARY = [name for name in MASKS if name != "linear"]


def drawn(rows=16, members=2, shape=(32, 32), seed=0, **options):
    return draw_members(rows, members, shape, torch.Generator().manual_seed(seed), **options)


@given(
    mask=st.sampled_from(list(MASKS)), seed=st.integers(0, 10_000), side=st.integers(4, 17), alpha=st.floats(1e-3, 50)
)
@settings(max_examples=60, deadline=None)
def test_masks_sum_to_one_everywhere_and_their_means_are_the_shares(mask, seed, side, alpha):
    plan = drawn(6, 2, (side, side + 3), seed, mask=mask, alpha=alpha)
    torch.testing.assert_close(plan.masks.sum(1), torch.ones_like(plan.masks[:, 0]))
    torch.testing.assert_close(plan.shares, plan.masks.mean((2, 3)), atol=1e-6, rtol=0)
    torch.testing.assert_close(plan.shares.sum(1), torch.ones(6))
    assert plan.sources[:, 0].tolist() == list(range(6))
    assert sorted(plan.sources[:, 1].tolist()) == list(range(6))
    torch.testing.assert_close(plan.weights.sum(1), torch.full((6,), 2.0))
    if mask in BINARY:
        assert set(plan.masks.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("members", [2, 3, 4])
def test_a_box_is_one_members_and_the_others_share_the_rest_by_what_they_drew(members):
    plan = drawn(64, members, mask="cutmix")
    hard = [k for k in range(members) if set(plan.masks[:, k].unique().tolist()) <= {0.0, 1.0}]
    assert hard, "no member has the box alone"
    box = plan.masks[:, hard[0]].bool()
    outside = plan.masks.movedim(1, -1)[~box]  # (places, M)
    torch.testing.assert_close(outside.sum(1), torch.ones(len(outside)))
    for row in range(4):  # in one row every other member has one level outside, and nothing within
        for k in set(range(members)) - {hard[0]}:
            assert plan.masks[row, k][~box[row]].unique().numel() <= 1
            assert not plan.masks[row, k][box[row]].any()


def test_the_box_is_clipped_so_that_its_area_has_the_law_of_the_authors_code():
    """Beta(2, 2) on 32 x 32: mean .306, above a half in .1126 of draws, mean of the smaller share .285."""
    areas, smaller = [], []
    for seed in range(8):
        plan = drawn(8192, 2, seed=seed, mask="cutmix")
        # The member with the box: its places form a rectangle.
        first = plan.masks[:, 0]
        solid = first.amax(2).sum(1) * first.amax(1).sum(1) == first.sum((1, 2))
        member = 0 if float(solid.float().mean()) > 0.9 else 1
        areas.append(plan.shares[:, member])
        smaller.append(plan.shares.min(1).values)
    area = torch.cat(areas)
    assert abs(float(area.mean()) - 0.306) < 0.005
    assert abs(float((area > 0.5).float().mean()) - 0.1126) < 0.006
    assert float(area.max()) <= 0.879 + 1e-3  # sides of at most 30
    assert abs(float(torch.cat(smaller).mean()) - 0.285) < 0.005


def test_three_members_have_the_mean_shares_of_a_box_that_shrinks():
    """.216 for the one with the box, .392 for the others (Dirichlet(2, 2, 2))."""
    means = np.sort(drawn(20_000, 3, mask="cutmix").shares.mean(0).numpy())
    np.testing.assert_allclose(means, [0.216, 0.392, 0.392], atol=0.006)


def test_linear_shares_of_two_are_beta():
    shares = np.sort(drawn(5000, 2, mask="linear", alpha=2.0).shares[:, 0].double().numpy())
    expected = (np.arange(5000) + 0.5) / 5000
    assert np.abs(beta(2, 2).cdf(shares) - expected).max() < 1.63 / math.sqrt(5000)  # Kolmogorov, 1 %


def test_equal_shares_without_alpha_and_one_member_alone_with_the_least():
    np.testing.assert_allclose(drawn(4, 3, mask="linear", alpha=0.0).shares, 1 / 3, rtol=1e-6)
    least = drawn(50, 3, mask="linear", alpha=1e-9).shares
    assert torch.equal(least.max(1).values, torch.ones(50))


@pytest.mark.parametrize(("mask", "axis"), [("vconcat", 2), ("hconcat", 1)])
def test_stacked_parts_are_constant_along_the_other_axis_and_either_part_may_be_a_members(mask, axis):
    """Horizontal border for upper and lower part (Ramé et al.'s "Horizontal"), vertical for left and right."""
    first = drawn(200, 2, mask=mask).masks[:, 0]
    assert torch.equal(first, first.amax(axis, keepdim=True).expand_as(first))
    line = first.amax(axis)
    inside = (line.sum(1) > 0) & (line.sum(1) < 32)
    starts = line[inside, 0]
    assert 0.3 < float(starts.mean()) < 0.7


def test_cowmask_draws_its_own_share_between_a_fifth_and_four_fifths():
    shares = drawn(400, 2, mask="cowmask").shares
    assert float(shares.min()) > 0.19
    assert float(shares.max()) < 0.81


def test_one_draw_decides_the_roles_of_the_whole_batch():
    """Either all boxes are member 0's or all are member 1's, each about half of the time."""
    firsts = []
    for seed in range(60):
        plan = drawn(32, 2, seed=seed, mask="cutmix")
        first = plan.masks[:, 0]
        solid = first.amax(2).sum(1) * first.amax(1).sum(1) == first.sum((1, 2))
        firsts.append(float(solid.float().mean()) > 0.9)
    assert 15 < sum(firsts) < 45


# --- weights ---------------------------------------------------------------------------------------------------------


def test_weights_have_the_values_of_the_papers_equation_three():
    shares = torch.tensor([0.01, 0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
    found = member_weights(torch.stack([shares, 1 - shares], 1), 3.0)
    expected = torch.tensor([0.3555, 0.6493, 0.8189, 1.0, 1.1811, 1.3507], dtype=torch.float64)
    torch.testing.assert_close(found[:, 0], expected, atol=5e-5, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.full((6,), 2.0, dtype=torch.float64))


@given(share=st.floats(0, 1), root=st.floats(0.5, 1e6))
def test_weights_are_finite_sum_to_the_members_and_grow_with_the_share(share, root):
    shares = torch.tensor([[share, 1 - share]], dtype=torch.float64)
    found = member_weights(shares, root)[0]
    assert torch.isfinite(found).all()
    assert abs(float(found.sum()) - 2) < 1e-9
    assert (found[0] >= found[1]) == (share >= 1 - share) or abs(share - 0.5) < 1e-9


def test_the_ends_of_the_root():
    shares = torch.tensor([[0.2, 0.8], [0.0, 1.0]])
    torch.testing.assert_close(member_weights(shares, 1.0), 2 * shares)
    assert torch.equal(member_weights(shares, math.inf), torch.ones(2, 2))
    torch.testing.assert_close(member_weights(shares[:1], 1e6), torch.ones(1, 2), atol=1e-5, rtol=0)


def test_the_spread_of_weights_falls_as_the_root_grows():
    """Standard deviations for boxes and Beta(2, 2), r = 1, 2, 3, 6, 10, as computed from the authors' law."""
    shares = drawn(60_000, 2, mask="cutmix").shares
    # Both columns: the box is either member's, by the draw of roles.
    found = [float(member_weights(shares, r).std()) for r in (1, 2, 3, 6, 10)]
    np.testing.assert_allclose(found, [0.494, 0.292, 0.203, 0.105, 0.064], atol=0.006)


# --- schedule --------------------------------------------------------------------------------------------------------


def test_the_share_of_masked_batches_falls_in_the_last_twelfth():
    found = [mask_probability(0.5, epoch, 300) for epoch in (1, 275, 276, 280, 290, 299, 300)]
    np.testing.assert_allclose(found, [0.5, 0.5, 0.48, 0.40, 0.20, 0.02, 0.0], atol=1e-9)
    assert mask_probability(0.5, 1100, 1200) == 0.5
    assert mask_probability(0.5, 300, 300, fall=0) == 0.5


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": 1}, "members.*at least 2.*1"),
        ({"rows": 0}, "rows.*at least 1"),
        ({"mask": "cutmx"}, "member_mask.*cutmx.*cutmix"),
        ({"mask": "puzzlemix"}, "puzzlemix.*saliency.*cutmix"),
        ({"mask": "resizemix"}, "resizemix.*linear, cutmix"),
        ({"mask": "fmix", "members": 3}, "fmix.*2 members, got 3.*linear or cutmix"),
        ({"root": 0}, "weight_root.*0"),
        ({"root": float("nan")}, "weight_root"),
        ({"alpha": -1}, "alpha.*-1"),
        ({"head_target": "best"}, "head_target.*best"),
    ],
)
def test_a_mistake_names_what_was_given_and_what_there_is(options, words):
    with pytest.raises(UserError, match=f"(?s){words}"):
        drawn(**options)
