"""What members' answers cost, against sums of torch's own losses."""

import pytest
import torch
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.members import MemberLoss, MemberPlan, draw_members
from logitmix_hf.vision.members.loss import visible_shares
from logitmix_hf.vision.mixers import MaskedPlan

B, M, C = 6, 2, 4


@pytest.fixture
def plan():
    return draw_members(B, M, (8, 8), torch.Generator().manual_seed(0))


@pytest.fixture
def logits():
    return torch.randn(B, M, C, generator=torch.Generator().manual_seed(1), requires_grad=True)


LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def test_equal_weights_are_a_cross_entropy_for_each_member(plan, logits):
    out = MemberLoss(root=float("inf"))(logits, LABELS, plan)
    expected = sum(F.cross_entropy(logits[:, k], LABELS[plan.sources[:, k]]) for k in range(M))
    torch.testing.assert_close(out.loss, expected)
    torch.testing.assert_close(out.terms["mix"], out.per_example)


def test_the_loss_is_linear_in_the_weights(plan, logits):
    out = MemberLoss()(logits, LABELS, plan)
    each = [F.cross_entropy(logits[:, k], LABELS[plan.sources[:, k]], reduction="none") for k in range(M)]
    torch.testing.assert_close(out.per_example, plan.weights[:, 0] * each[0] + plan.weights[:, 1] * each[1])


def test_several_labels_a_row_and_values(plan):
    labels = torch.randint(0, 2, (B, C), generator=torch.Generator().manual_seed(2)).float()
    logits = torch.randn(B, M, C)
    out = MemberLoss(float("inf"), problem_type="multi_label_classification")(logits, labels, plan)
    expected = sum(
        F.binary_cross_entropy_with_logits(logits[:, k], labels[plan.sources[:, k]], reduction="none").mean(1)
        for k in range(M)
    )
    torch.testing.assert_close(out.per_example, expected)
    values = torch.randn(B)
    answers = torch.randn(B, M, 1)
    out = MemberLoss(float("inf"), problem_type="regression")(answers, values, plan)
    expected = sum((answers[:, k, 0] - values[plan.sources[:, k]]).square() for k in range(M))
    torch.testing.assert_close(out.per_example, expected)


def test_one_head_answers_by_the_shares(plan, logits):
    """The kappa-interpolated label of table 3's first row."""
    one = logits[:, :1]
    soft = sum(plan.shares[:, k : k + 1] * F.one_hot(LABELS[plan.sources[:, k]], C) for k in range(M))
    expected = F.cross_entropy(one[:, 0], soft, reduction="none")
    torch.testing.assert_close(MemberLoss()(one, LABELS, plan).per_example, expected)
    torch.testing.assert_close(MemberLoss()(one[:, 0], LABELS, plan).per_example, expected)


def test_head_zero_answers_for_the_larger_share(logits):
    generator = torch.Generator().manual_seed(0)
    plan = draw_members(B, M, (8, 8), generator, head_target="larger", mask="linear")
    out = MemberLoss()(logits, LABELS, plan)
    for row in range(B):
        larger = int(plan.shares[row].argmax())
        expected = sum(
            plan.weights[row, column] * F.cross_entropy(logits[row, head], LABELS[plan.sources[row, column]])
            for head, column in enumerate((larger, 1 - larger))
        )
        torch.testing.assert_close(out.per_example[row], expected)


def test_heads_at_random_answer_for_every_image_once():
    plan = draw_members(64, 3, (8, 8), torch.Generator().manual_seed(0), head_target="random")
    assert torch.equal(plan.answers.sort(1).values, torch.arange(3).expand(64, 3))
    assert 0.2 < float((plan.answers[:, 0] == 0).float().mean()) < 0.5


# --- images that were mixed before ------------------------------------------------------------------------------------


def pixels(masks):
    """Rows mixed with the next, their own pixels where ``masks`` (B, H, W) is 1."""
    own = torch.arange(B)
    share = masks.mean((1, 2))
    both = torch.stack([masks, 1 - masks], 1).unsqueeze(2)
    return MaskedPlan(torch.stack([own, own.roll(-1)], 1), torch.stack([share, 1 - share], 1), both)


def halves(rows, columns=8):
    mask = torch.zeros(B, 8, 8)
    mask[:, :rows, :columns] = 1
    return mask


def of_masks(first):
    masks = torch.stack([first, 1 - first], 1)
    own = torch.arange(B)
    return MemberPlan(torch.stack([own, own.roll(1)], 1), masks.mean((2, 3)), masks, torch.ones(B, 2))


def test_visible_shares_by_hand():
    upper = of_masks(halves(4))
    torch.testing.assert_close(visible_shares(upper, pixels(halves(4)))[:, 0], torch.ones(B))  # the same box
    torch.testing.assert_close(visible_shares(upper, pixels(halves(4)))[:, 1], torch.zeros(B))  # disjoint
    torch.testing.assert_close(visible_shares(upper, pixels(halves(2)))[:, 0], torch.full((B,), 0.5))
    torch.testing.assert_close(visible_shares(upper, pixels(halves(8, 2)))[:, 0], torch.full((B,), 0.25))


def test_uniform_masks_and_blended_pixels_leave_the_plain_share():
    mixed = pixels(halves(3))
    linear = draw_members(B, 2, (8, 8), torch.Generator().manual_seed(0), mask="linear")
    torch.testing.assert_close(visible_shares(linear, mixed), torch.full((B, 2), 3 / 8))
    blended = MixPlan(mixed.sources, mixed.shares)
    torch.testing.assert_close(visible_shares(of_masks(halves(4)), blended), torch.full((B, 2), 3 / 8))


def test_a_member_that_sees_nothing_counts_nothing_and_is_no_nan(logits):
    plan = of_masks(torch.zeros(B, 8, 8))
    torch.testing.assert_close(visible_shares(plan, pixels(halves(3)))[:, 0], torch.full((B,), 3 / 8))
    out = MemberLoss(root=3.0)(logits, LABELS, plan, pixels(halves(3)))
    assert torch.isfinite(out.per_example).all()


def test_a_stem_of_stride_two_sees_the_pixels_mask_averaged_down():
    coarse = torch.zeros(B, 4, 4)
    coarse[:, :2] = 1  # the upper half of 8 x 8
    torch.testing.assert_close(visible_shares(of_masks(coarse), pixels(halves(1)))[:, 0], torch.full((B,), 0.25))


def test_labels_count_by_what_is_visible(logits):
    plan, mixed = of_masks(halves(4)), pixels(halves(2))
    out = MemberLoss(root=float("inf"))(logits, LABELS, plan, mixed)
    expected = torch.zeros(B)
    for k, visible in ((0, 0.5), (1, 0.0)):
        source = plan.sources[:, k]
        partner = mixed.sources[source, 1]
        soft = visible * F.one_hot(LABELS[source], C) + (1 - visible) * F.one_hot(LABELS[partner], C)
        expected = expected + F.cross_entropy(logits[:, k], soft, reduction="none")
    torch.testing.assert_close(out.per_example, expected)


def test_a_number_of_heads_that_does_not_fit(plan):
    with pytest.raises(UserError, match="3 heads.*2 members"):
        MemberLoss()(torch.zeros(B, 3, C), LABELS, plan)
