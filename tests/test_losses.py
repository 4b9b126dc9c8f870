"""The loss against numbers by hand, other code, and laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss
from logitmix_hf.plan import MixPlan, blend, draw_plan
from logitmix_hf.targets import MULTI, SINGLE

# Golden numbers, computed once in float64 by code that is not this package's.
CLEAN = torch.tensor([[2, 0, -1], [0.5, 1.5, 0], [-1, 0, 3]], dtype=torch.float64)
MIXED = torch.tensor([[0.4, 0.2, 0.6], [1, 0.3, -0.2], [0.1, 0.9, 1.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2])
PARTNER = torch.tensor([2, 0, 1])


def plan_of(*lam: float) -> MixPlan:
    keep = torch.tensor(lam, dtype=torch.float64)
    return MixPlan(torch.stack([torch.arange(len(lam)), PARTNER[: len(lam)]], 1), torch.stack([keep, 1 - keep], 1))


def drawn(rows: int, seed: int = 0) -> MixPlan:
    return draw_plan(rows, 3.0, torch.Generator().manual_seed(seed), per="example")


def mean_terms(loss: LogitMixLoss, plan: MixPlan) -> dict[str, float]:
    return {name: float(term.mean()) for name, term in loss(CLEAN, MIXED, LABELS, plan).terms.items()}


def test_golden_terms_with_one_lam():
    terms = mean_terms(LogitMixLoss(), plan_of(0.3, 0.3, 0.3))
    assert terms == pytest.approx({"mix": 0.896935, "cls": 0.233366, "sim": 0.263333}, abs=1e-6)
    assert mean_terms(LogitMixLoss(sim_form="l2"), plan_of(0.3, 0.3, 0.3))["sim"] == pytest.approx(0.776178, abs=1e-6)


def test_golden_terms_with_a_lam_each():
    terms = mean_terms(LogitMixLoss(), plan_of(0.3, 0.5, 0.9))
    assert terms == pytest.approx({"mix": 0.903602, "cls": 0.233366, "sim": 0.678889}, abs=1e-6)


def test_golden_totals_of_code_and_paper():
    plan = plan_of(0.3, 0.3, 0.3)
    assert float(LogitMixLoss()(CLEAN, MIXED, LABELS, plan).loss) == pytest.approx(1.393634, abs=1e-6)
    paper = LogitMixLoss(sim_form="l2", cls_sum=True)
    assert float(paper(CLEAN, MIXED, LABELS, plan).loss) == pytest.approx(2.139845, abs=1e-6)


def test_weights_weigh_and_a_weight_of_zero_is_not_computed():
    out = LogitMixLoss(2.0, 0.0, 0.5)(CLEAN, MIXED, LABELS, plan_of(0.3, 0.5, 0.9))
    assert set(out.terms) == {"mix", "sim"}
    torch.testing.assert_close(out.per_example, 2 * out.terms["mix"] + 0.5 * out.terms["sim"])
    assert float(out.loss) == pytest.approx(float(out.per_example.mean()))
    only_mix = LogitMixLoss(1.0, 0.0, 0.0)(CLEAN, MIXED, LABELS, plan_of(0.3, 0.5, 0.9))
    assert set(only_mix.terms) == {"mix"}
    assert not LogitMixLoss(0.0, 1.0, 0.0).needs_mixed


def test_mixing_labels_or_losses_is_the_same_for_cross_entropy():
    plan = drawn(3)
    soft = blend(F.one_hot(LABELS, 3).double(), plan)
    out = LogitMixLoss(1, 0, 0)(CLEAN, MIXED, LABELS, plan)
    torch.testing.assert_close(out.loss, F.cross_entropy(MIXED, soft))


def test_regression_is_squared_error_to_each_source():
    clean, mixed = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [4.0]])
    labels = torch.tensor([3.0, 1.0])
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.75, 0.25], [0.75, 0.25]]))
    out = LogitMixLoss()(clean, mixed, labels, plan)
    # row 0: 0.75 (0.5 - 3)^2 + 0.25 (0.5 - 1)^2; row 1: 0.75 (4 - 1)^2 + 0.25 (4 - 3)^2
    assert out.terms["mix"].tolist() == pytest.approx([4.75, 7.0])
    assert out.terms["cls"].tolist() == pytest.approx([4.0, 1.0])
    # 0.5 - (0.75 * 1 + 0.25 * 2) = -0.75; 4 - (0.75 * 2 + 0.25 * 1) = 2.25
    assert out.terms["sim"].tolist() == pytest.approx([0.5625, 5.0625])


def test_multi_label_is_binary_cross_entropy():
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    plan = drawn(3)
    out = LogitMixLoss()(CLEAN, MIXED, labels, plan)
    torch.testing.assert_close(out.terms["cls"].mean(), F.binary_cross_entropy_with_logits(CLEAN, labels))
    torch.testing.assert_close(out.terms["mix"].mean(), F.binary_cross_entropy_with_logits(MIXED, blend(labels, plan)))


def test_soft_labels_class_weights_and_smoothing_are_torchs():
    plan, weights = drawn(3), torch.tensor([1.0, 2.0, 0.5])
    soft = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5]], dtype=torch.float64)
    out = LogitMixLoss(problem_type=SINGLE)(CLEAN, MIXED, soft, plan)
    torch.testing.assert_close(out.terms["cls"].mean(), F.cross_entropy(CLEAN, soft))
    weighed = LogitMixLoss(0, 1, 0, class_weights=weights.double())
    weighed.class_weights = weights.double()
    each = F.cross_entropy(CLEAN, LABELS, weight=weights.double(), reduction="none")
    torch.testing.assert_close(weighed(CLEAN, MIXED, LABELS, plan).terms["cls"], each)
    smooth = LogitMixLoss(0, 1, 0, label_smoothing=0.1)(CLEAN, MIXED, LABELS, plan)
    torch.testing.assert_close(smooth.terms["cls"].mean(), F.cross_entropy(CLEAN, LABELS, label_smoothing=0.1))


def test_class_weights_weigh_mixed_rows_as_they_weigh_clean_ones():
    """Cross entropy and its weights are linear in the targets, so torch's own of the blended targets is L_mix."""
    plan, weights = drawn(3), torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
    loss = LogitMixLoss(1, 0, 0, class_weights=weights).double()
    wanted = F.cross_entropy(MIXED, blend(F.one_hot(LABELS, 3).double(), plan), weight=weights, reduction="none")
    torch.testing.assert_close(loss(CLEAN, MIXED, LABELS, plan).terms["mix"], wanted)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    wanted = F.binary_cross_entropy_with_logits(MIXED, blend(labels, plan), pos_weight=weights, reduction="none")
    torch.testing.assert_close(loss(CLEAN, MIXED, labels, plan).terms["mix"], wanted.mean(1))


def test_a_class_of_weight_zero_teaches_nothing_mixed_or_clean():
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.75, 0.25], [0.75, 0.25]]))
    loss = LogitMixLoss(1, 1, 0, class_weights=[0.0, 1.0, 1.0]).double()
    terms = loss(CLEAN[:2], MIXED[:2], torch.tensor([0, 0]), plan).terms
    assert [float(term.abs().max()) for term in terms.values()] == [0, 0]
    # Of the pair (class 0, class 1) a quarter of class 1's loss is left in row 0, three quarters in row 1.
    mix = loss(CLEAN[:2], MIXED[:2], torch.tensor([0, 1]), plan).terms["mix"]
    torch.testing.assert_close(mix, torch.tensor([-0.25, -0.75]) * MIXED[:2].log_softmax(1)[:, 1])


def test_smoothing_of_several_labels_is_that_of_two_classes_each():
    """A decision is a choice among two classes, whose logits are 0 and z: torch smooths that one by e / 2, whatever C."""
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    both = torch.stack([torch.zeros_like(CLEAN), CLEAN], 2)
    each = F.cross_entropy(both.reshape(9, 2), labels.long().reshape(9), label_smoothing=0.3, reduction="none")
    loss = LogitMixLoss(0, 1, 0, label_smoothing=0.3)(CLEAN, None, labels, None)
    torch.testing.assert_close(loss.per_example, each.reshape(3, 3).mean(1))


def test_smoothing_is_applied_once_to_mixed_targets():
    plan = drawn(3)
    targets = 0.9 * F.one_hot(LABELS, 3).double() + 0.1 / 3
    out = LogitMixLoss(1, 0, 0, label_smoothing=0.1)(CLEAN, MIXED, LABELS, plan)
    torch.testing.assert_close(out.loss, F.cross_entropy(MIXED, blend(targets, plan)))


def test_the_confidence_penalty_is_the_entropy_of_what_is_judged():
    plan, uniform = drawn(3), torch.full((3, 3), 1 / 3, dtype=torch.float64)
    plain = LogitMixLoss()(CLEAN, MIXED, LABELS, plan).terms
    terms = LogitMixLoss(confidence_penalty=0.1)(CLEAN, MIXED, LABELS, plan).terms
    for name, logits in (("cls", CLEAN), ("mix", MIXED)):
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        torch.testing.assert_close(terms[name], plain[name] - 0.1 * entropy)
        # Pereyra et al. 2017, section 3: it is b KL(p || uniform) up to a constant
        divergence = F.kl_div(uniform.log(), logits.log_softmax(1), log_target=True, reduction="none").sum(1)
        torch.testing.assert_close(terms[name], plain[name] + 0.1 * divergence - 0.1 * math.log(3))
    torch.testing.assert_close(terms["sim"], plain["sim"])


def test_the_confidence_penalty_of_several_labels_is_each_ones_mean():
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    out = LogitMixLoss(0, 1, 0, confidence_penalty=0.5)(CLEAN, MIXED, labels, drawn(3))
    entropy = torch.distributions.Bernoulli(logits=CLEAN).entropy().mean(1)
    each = F.binary_cross_entropy_with_logits(CLEAN, labels, reduction="none").mean(1)
    torch.testing.assert_close(out.terms["cls"], each - 0.5 * entropy)
    with pytest.raises(UserError, match="regression"):
        LogitMixLoss(confidence_penalty=0.5)(CLEAN[:, :1], MIXED[:, :1], torch.zeros(3), drawn(3))


@pytest.mark.parametrize("form", ["mse", "l2"])
@pytest.mark.parametrize("on", ["logits", "log_softmax"])
def test_gradcheck(form, on):
    clean, mixed = CLEAN.clone().requires_grad_(), MIXED.clone().requires_grad_()
    loss, plan = LogitMixLoss(0.7, 1.3, 0.4, sim_form=form, sim_on=on), plan_of(0.3, 0.5, 0.9)
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, LABELS, plan).per_example, (clean, mixed))


@pytest.mark.parametrize(("detach", "clean_moves", "mixed_moves"), [("none", 1, 1), ("clean", 0, 1), ("mixed", 1, 0)])
def test_detach_stops_the_gradient_of_one_side(detach, clean_moves, mixed_moves):
    clean, mixed = CLEAN.clone().requires_grad_(), MIXED.clone().requires_grad_()
    LogitMixLoss(0, 0, 1, sim_detach=detach)(clean, mixed, LABELS, plan_of(0.3, 0.5, 0.9)).loss.backward()
    assert (clean.grad is not None) == bool(clean_moves)
    assert (mixed.grad is not None) == bool(mixed_moves)


def test_a_linear_network_has_nothing_to_match():
    x, weight, bias = torch.randn(8, 5), torch.randn(5, 3), torch.randn(3)
    plan = drawn(8)
    out = LogitMixLoss()(x @ weight + bias, blend(x, plan) @ weight + bias, torch.arange(8) % 3, plan)
    assert float(out.terms["sim"].max()) < 1e-10


def test_a_row_mixed_with_itself_has_a_finite_gradient_of_the_norm():
    clean = CLEAN.clone().requires_grad_()
    plan = MixPlan(torch.tensor([[0, 0], [1, 1], [2, 2]]), torch.full((3, 2), 0.5))
    LogitMixLoss(0, 0, 1, sim_form="l2")(clean, clean.clone(), LABELS, plan).loss.backward()
    assert clean.grad.isfinite().all()


@given(st.floats(-50, 50), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_constant_added_to_all_logits_leaves_label_losses(shift, seed):
    plan = drawn(3, seed)
    moved, base = LogitMixLoss()(CLEAN + shift, MIXED + shift, LABELS, plan), LogitMixLoss()(CLEAN, MIXED, LABELS, plan)
    for name in ("mix", "cls", "sim"):  # L_sim too: both sides move alike
        torch.testing.assert_close(moved.terms[name], base.terms[name], atol=1e-5, rtol=1e-5)  # shares are float32


def test_lam_one_is_the_clean_loss():
    plan = plan_of(1.0, 1.0, 1.0)
    out = LogitMixLoss()(CLEAN, CLEAN, LABELS, plan)
    torch.testing.assert_close(out.terms["mix"], out.terms["cls"])
    assert float(out.terms["sim"].max()) == 0


def test_swapping_a_pair_swaps_its_rows():
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.3, 0.7], [0.7, 0.3]]))
    clean, mixed = CLEAN[:2], MIXED[:1].expand(2, 3)  # (lam, i, j) and (1 - lam, j, i) are one mixture
    out = LogitMixLoss(1, 0, 1)(clean, mixed, LABELS[:2], plan)
    torch.testing.assert_close(out.per_example[0], out.per_example[1])


def test_the_papers_sum_is_twice_the_mean_for_a_permutation():
    plan = drawn(3)
    once, both = LogitMixLoss(0, 1, 0), LogitMixLoss(0, 1, 0, cls_sum=True)
    torch.testing.assert_close(2 * once(CLEAN, MIXED, LABELS, plan).loss, both(CLEAN, MIXED, LABELS, plan).loss)


def test_the_papers_sum_adds_the_loss_of_the_partner_to_each_rows():
    plan = MixPlan(torch.tensor([[0, 1], [1, 1], [2, 0]]), torch.full((3, 2), 0.5))  # no permutation
    own = F.cross_entropy(CLEAN, LABELS, reduction="none")
    terms = LogitMixLoss(0, 1, 0, cls_sum=True)(CLEAN, MIXED, LABELS, plan).terms
    torch.testing.assert_close(terms["cls"], own + own[[1, 1, 0]])


def test_half_precision_is_computed_in_float32():
    out = LogitMixLoss()(CLEAN.bfloat16(), MIXED.bfloat16(), LABELS, drawn(3))
    assert out.loss.dtype == torch.float32
    expected = LogitMixLoss()(CLEAN.bfloat16().float(), MIXED.bfloat16().float(), LABELS, drawn(3))
    torch.testing.assert_close(out.loss, expected.loss)


def test_a_plain_step_is_the_task_loss():
    out = LogitMixLoss(0.5, 0.5, 0.5)(CLEAN, None, LABELS, None)
    torch.testing.assert_close(out.loss, F.cross_entropy(CLEAN, LABELS))
    assert set(out.terms) == {"cls"}


def test_mixing_an_array_in_place_turns_the_similarity_into_something_else():
    """What aliasing did in the authors' CutMix: with clean = mixed, L_sim is (1 - lam)^2 of unrelated rows' distance."""
    plan = plan_of(0.3, 0.3, 0.3)
    out = LogitMixLoss(0, 0, 1)(MIXED, MIXED, LABELS, plan)
    expected = 0.7**2 * F.mse_loss(MIXED, MIXED[PARTNER])
    torch.testing.assert_close(out.loss, expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"w_mix": -1.0}, "w_mix"),
        ({"w_mix": 0.0, "w_cls": 0.0, "w_sim": 0.0}, "all 0"),
        ({"sim_form": "l1"}, "sim_form"),
        ({"sim_detach": "both"}, "sim_detach"),
        ({"label_smoothing": 1.5}, "label_smoothing"),
        ({"confidence_penalty": -0.1}, "confidence_penalty"),
        ({"w_sim": math.nan}, "w_sim"),
        ({"problem_type": "ranking"}, "problem_type"),
    ],
)
def test_a_value_out_of_range_is_named(options, words):
    with pytest.raises(UserError, match=words):
        LogitMixLoss(**options)


def test_labels_that_do_not_fit_are_named():
    with pytest.raises(UserError, match="shape"):
        LogitMixLoss(problem_type=MULTI)(CLEAN, MIXED, torch.zeros(3, 5), drawn(3))
    with pytest.raises(UserError, match="log_softmax"):
        LogitMixLoss(sim_on="log_softmax")(CLEAN[:, :1], MIXED[:, :1], torch.zeros(3), drawn(3))


@pytest.mark.parametrize("label", [-1, -100, 3, 0.5])
def test_a_label_that_is_no_class_is_named(label):
    labels = torch.tensor([0, label, 2])
    with pytest.raises(UserError, match=rf"a label is {label}, but the model's classes are 0 to 2"):
        LogitMixLoss(problem_type=SINGLE)(CLEAN, None, labels, None)


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8, torch.float32])
def test_classes_may_stand_in_a_column_and_be_of_any_kind(kind):
    wanted = F.cross_entropy(CLEAN, LABELS)
    for labels in (LABELS, LABELS.unsqueeze(1)):
        loss = LogitMixLoss(problem_type=SINGLE)(CLEAN, None, labels.to(kind), None).loss
        torch.testing.assert_close(loss, wanted)
