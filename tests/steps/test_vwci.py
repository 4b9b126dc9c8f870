"""VWCI (Seo, Seo and Han, CVPR 2019) by hand, its limits, and under the trainer."""

from __future__ import annotations

import math

import pytest
import torch
from test_trainer import first_gradients, trainer_of
from tiny import CONFIGS, build
from torch.nn import functional as F

from logitmix_hf import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss, vwci

ONE_HOT = F.one_hot(torch.tensor([0, 2]), 3).double()


def test_two_passes_of_one_row_by_hand():
    """p_1 = (.5, .25, .25), p_2 = (.25, .25, .5), label 0. Their mean is (.375, .25, .375)."""
    passes = torch.tensor([[[0.5, 0.25, 0.25]], [[0.25, 0.25, 0.5]]], dtype=torch.float64).log() + 7  # any offset
    coefficient = math.sqrt(0.375 * 0.5) + math.sqrt(0.25 * 0.25) + math.sqrt(0.375 * 0.25)  # of both, by symmetry
    alpha = 1 - coefficient
    own = (math.log(2) + math.log(4)) / 2
    to_uniform = (math.log(2) + math.log(4) + math.log(4)) / 3 - math.log(3)  # KL(uniform || p_t), the same for both
    assert alpha == pytest.approx(0.010801, abs=1e-6)
    assert to_uniform == pytest.approx(0.056633, abs=1e-6)
    expected = (1 - alpha) * own + alpha * to_uniform
    assert expected == pytest.approx(1.029102, abs=1e-6)
    assert float(vwci(passes, ONE_HOT[:1])) == pytest.approx(expected, abs=1e-9)


def test_passes_that_agree_are_plain_cross_entropy():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 2])
    for times in (2, 5):
        same = logits.expand(times, -1, -1)
        torch.testing.assert_close(vwci(same, ONE_HOT), F.cross_entropy(logits, labels, reduction="none"))
    smoothed = LogitMixLoss(0, 1, 0, label_smoothing=0.2).of_passes(logits.expand(3, -1, -1), labels)
    torch.testing.assert_close(smoothed.loss, F.cross_entropy(logits, labels, label_smoothing=0.2))
    assert set(smoothed.terms) == {"cls"}
    torch.testing.assert_close(smoothed.terms["cls"], smoothed.per_example)


def test_passes_that_contradict_each_other_ask_for_the_uniform_distribution():
    """Two sure and opposite answers: their mean is (1/2, 1/2), each coefficient sqrt(1/2), alpha 1 - sqrt(1/2)."""
    passes = torch.tensor([[[20.0, -20.0]], [[-20.0, 20.0]]], dtype=torch.float64)
    alpha = 1 - math.sqrt(0.5)
    expected = (1 - alpha) * (0 + 40) / 2 + alpha * ((0 + 40) / 2 - math.log(2))
    assert float(vwci(passes, ONE_HOT[:1, :2])) == pytest.approx(expected, abs=1e-4)


def test_the_order_of_the_passes_is_nothing_and_rows_do_not_meet():
    generator = torch.Generator().manual_seed(1)
    passes = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    whole = vwci(passes, ONE_HOT)
    torch.testing.assert_close(vwci(passes[[2, 0, 3, 1]], ONE_HOT), whole)
    torch.testing.assert_close(vwci(passes[:, :1], ONE_HOT[:1]), whole[:1])


def test_gradients_by_differences():
    passes = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: vwci(logits, ONE_HOT), passes)


def test_a_softmax_that_ran_dry_has_finite_gradients():
    passes = torch.tensor([[[200.0, -200.0, 0.0]], [[-200.0, 200.0, 0.0]]], requires_grad=True)
    loss = vwci(passes, ONE_HOT[:1].float())
    loss.sum().backward()
    assert passes.grad is not None
    assert passes.grad.isfinite().all()
    half = LogitMixLoss(0, 1, 0).of_passes(torch.randn(2, 2, 3).bfloat16(), torch.tensor([0, 2]))
    assert half.loss.dtype == torch.float32


def test_labels_that_are_no_classes_are_refused():
    passes = torch.randn(2, 2, 3)
    for problem, labels in (("regression", torch.zeros(2, 3)), ("multi_label_classification", torch.zeros(2, 3))):
        with pytest.raises(UserError, match=f"task of {problem}"):
            LogitMixLoss(0, 1, 0, problem_type=problem).of_passes(passes, labels)
    with pytest.raises(UserError, match="task of regression"):
        LogitMixLoss(0, 1, 0).of_passes(passes[..., :1], torch.zeros(2))


def test_the_trainer_passes_every_row_several_times_with_dropout_of_its_own(tmp_path):
    torch.manual_seed(3)
    model, mix = build(CONFIGS["bert"]), MixArguments(method="vanilla", vwci=3)
    shapes, answers = [], []

    def watch(module, args, kwargs, output):
        if module.training:
            shapes.append(len(kwargs["input_ids"]))
            answers.append(output.logits.detach())

    handle = model.register_forward_hook(watch, with_kwargs=True)
    trainer = trainer_of(tmp_path, model=model, mix=mix)
    trainer.train()
    handle.remove()
    assert shapes == [24, 24]
    passes = answers[0].unflatten(0, (3, 8))
    assert float((passes[0] - passes[1]).abs().max()) > 1e-3
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["loss_cls"] for line in lines] == pytest.approx([line["loss"] for line in lines], rel=1e-3)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(  # evaluation knows nothing of it
        trainer_of(tmp_path, model=model, mix=MixArguments(method="vanilla")).evaluate()["eval_loss"], rel=1e-5
    )


def test_accumulation_counts_the_rows_and_not_the_passes(tmp_path):
    options = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    mix = MixArguments(method="vanilla", vwci=2)
    run = lambda **changes: first_gradients(  # noqa: E731
        tmp_path, model=build(CONFIGS["bert"], **options), mix=mix, rows=8,
        train_sampling_strategy="sequential", **changes,
    )  # fmt: skip
    parts = run(per_device_train_batch_size=1, gradient_accumulation_steps=8)
    for one, other in zip(parts, run(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
