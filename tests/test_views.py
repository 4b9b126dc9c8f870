"""L_agree, and rows that are seen twice: numbers by SciPy and by hand, R-Drop as its paper has it, and the laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss, disagreement
from logitmix_hf.plan import MixPlan, draw_plan, with_views
from logitmix_hf.targets import MULTI, REGRESSION, SINGLE

CLEAN = torch.tensor([[2, 0, -1], [0.5, 1.5, 0], [-1, 0, 3]], dtype=torch.float64)
VIEWS = torch.tensor([[1.4, 0.2, -0.6], [1, 0.3, -0.2], [-0.1, 0.9, 2.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2])


def plan_of(*lam: float) -> MixPlan:
    keep = torch.tensor(lam, dtype=torch.float64)
    return MixPlan(torch.tensor([[0, 2], [1, 0], [2, 1]]), torch.stack([keep, 1 - keep], 1))


def symmetric_kl(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    p, q = softmax(one.numpy(), 1), softmax(other.numpy(), 1)
    return (rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)) / 2


def test_classes_disagree_by_the_mean_of_both_divergences():
    found = disagreement(CLEAN, VIEWS, SINGLE)
    assert found.tolist() == pytest.approx(symmetric_kl(CLEAN, VIEWS).tolist())
    torch.testing.assert_close(disagreement(VIEWS, CLEAN, SINGLE), found)
    torch.testing.assert_close(disagreement(CLEAN + 5, VIEWS, SINGLE), found)  # of predictions: an offset is none
    assert disagreement(CLEAN, CLEAN, SINGLE).tolist() == [0, 0, 0]


def test_decisions_disagree_as_classes_of_two_and_values_by_their_square():
    pairs = [torch.stack([x.flatten(), torch.zeros(9, dtype=torch.float64)], 1) for x in (CLEAN, VIEWS)]
    expected = symmetric_kl(*pairs).reshape(3, 3).mean(1)
    assert disagreement(CLEAN, VIEWS, MULTI).tolist() == pytest.approx(expected.tolist())
    assert disagreement(torch.tensor([[3.0]]), torch.tensor([[1.0]]), REGRESSION).tolist() == [4.0]


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_gradients_by_differences_and_far_apart(problem):
    one, other = (x[:, : 1 if problem == REGRESSION else 3].clone().requires_grad_() for x in (CLEAN, VIEWS))
    assert torch.autograd.gradcheck(lambda left, right: disagreement(left, right, problem), (one, other))
    far = torch.tensor([[300.0, -300.0]], requires_grad=True)
    disagreement(far, -far.detach(), problem).sum().backward()
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_every_row_seen_twice_is_r_drop():
    """Eq. 4 of the paper: the negative log-likelihood of both passes, and alpha times eq. 3."""
    out = LogitMixLoss(0, 1, 0, w_agree=5.0)(CLEAN, VIEWS, LABELS, plan_of(1, 1, 1))
    nll = sum(F.cross_entropy(logits, LABELS, reduction="none") for logits in (CLEAN, VIEWS))
    expected = nll + 5.0 * torch.from_numpy(symmetric_kl(CLEAN, VIEWS))
    torch.testing.assert_close(out.per_example, expected)
    # What the weights of mixtures are is nothing to rows that are not mixed.
    atoms = LogitMixLoss(0.7, 1, 2.0, w_agree=5.0)(CLEAN, VIEWS, LABELS, plan_of(1, 1, 1))
    assert torch.equal(atoms.per_example, out.per_example)
    assert (float(atoms.terms["mix"].sum()), float(atoms.terms["sim"].sum())) == (0, 0)


def test_a_row_is_a_mixture_or_a_view_by_its_own_lam():
    plan, names = plan_of(1, 0.4, 0.9), ("mix", "cls", "sim", "agree")
    mixed = LogitMixLoss(0.7, 1, 2.0)(CLEAN, VIEWS, LABELS, plan)
    views = LogitMixLoss(0, 1, 0, w_agree=3.0)(CLEAN, VIEWS, LABELS, plan_of(1, 1, 1))
    out = LogitMixLoss(0.7, 1, 2.0, w_agree=3.0)(CLEAN, VIEWS, LABELS, plan)
    assert set(out.terms) == set(names)
    assert out.per_example[1:].tolist() == mixed.per_example[1:].tolist()
    assert float(out.per_example[0]) == float(views.per_example[0])
    weighed = sum(weight * out.terms[name] for name, weight in zip(names, (0.7, 1, 2.0, 3.0), strict=True))
    torch.testing.assert_close(out.per_example, weighed)


def test_a_view_and_a_mixture_of_each_row_are_both_losses():
    """The reference: R-Drop of the views by SciPy, and LogitMix of the mixtures, L_cls of the clean rows counted once."""
    plan, mixed = plan_of(0.3, 0.6, 0.9), CLEAN.flip(0) * 0.7
    weights = {"mix": 0.7, "cls": 1.0, "sim": 2.0}
    out = LogitMixLoss(*weights.values(), w_agree=3.0)(CLEAN, torch.cat([VIEWS, mixed]), LABELS, with_views(plan))
    lam, partner = plan.lam, plan.sources[:, 1]
    nll = F.cross_entropy(CLEAN, LABELS, reduction="none") + F.cross_entropy(VIEWS, LABELS, reduction="none")
    both = [F.cross_entropy(mixed, labels, reduction="none") for labels in (LABELS, LABELS[partner])]
    mix = lam * both[0] + (1 - lam) * both[1]
    sim = (mixed - lam[:, None] * CLEAN - (1 - lam)[:, None] * CLEAN[partner]).square().mean(1)
    agree = torch.from_numpy(symmetric_kl(CLEAN, VIEWS))
    torch.testing.assert_close(out.per_example, 0.7 * mix + nll + 2 * sim + 3 * agree)


@pytest.mark.parametrize("sim_form", ["mse", "l2"])
def test_without_a_view_it_is_logitmix_to_the_last_bit_with_its_gradient(sim_form):
    generator = torch.Generator().manual_seed(0)
    clean, mixed = (torch.randn(64, 7, generator=generator) for _ in range(2))
    labels, plan = torch.arange(64) % 7, draw_plan(64, 3.0, generator, per="example")
    found = []
    for w_agree in (0.0, 3.0):
        both = [x.clone().requires_grad_() for x in (clean, mixed)]
        out = LogitMixLoss(sim_form=sim_form, w_agree=w_agree)(*both, labels, plan)
        found.append([out.per_example, *torch.autograd.grad(out.loss, both)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_views_without_dropout_agree_and_are_similar():
    """lam = 1 and no dropout: the second view is the row, L_agree = 0 and L_sim = 0."""
    out = LogitMixLoss(1, 1, 1, w_agree=3.0)(CLEAN, CLEAN, LABELS, plan_of(1, 1, 1))
    assert out.terms["agree"].tolist() == out.terms["sim"].tolist() == [0, 0, 0]
    assert LogitMixLoss(0, 1, 1)(CLEAN, CLEAN, LABELS, plan_of(1, 1, 1)).terms["sim"].tolist() == [0, 0, 0]


def test_label_smoothing_weights_and_penalty_reach_the_second_view():
    options: dict[str, Any] = {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 0.5], "confidence_penalty": 0.2}
    views = LogitMixLoss(0, 1, 0, w_agree=1.0, **options).double()(CLEAN, VIEWS, LABELS, plan_of(1, 1, 1))
    one, other = (
        LogitMixLoss(0, 1, 0, **options).double()(logits, None, LABELS, None).per_example for logits in (CLEAN, VIEWS)
    )
    torch.testing.assert_close(views.terms["cls"], one + other)


def test_mistakes_end_in_a_line():
    with pytest.raises(UserError, match="w_agree.*-1"):
        LogitMixLoss(w_agree=-1)
    with pytest.raises(UserError, match="all 0: nothing would be learnt"):
        LogitMixLoss(0, 0, 0, w_agree=1)
    with pytest.raises(UserError, match="no clean logits"):
        LogitMixLoss(1, 0, 0, w_agree=1)(None, VIEWS, LABELS, plan_of(1, 1, 1))
    assert LogitMixLoss(0, 1, 0, w_agree=1).needs_mixed
