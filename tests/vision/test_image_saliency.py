"""What the mixers that look at saliency are given, and what the look costs and leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tinyimages import ROWS, Rows, batch_of, build, plan_of, seeded
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss
from logitmix_hf.vision.forward import ImageForward
from logitmix_hf.vision.mixers.functions import FUNCTIONS
from logitmix_hf.vision.saliency import saliency_of

Y = torch.tensor([0, 3, 1, 4])
SALIENT = ["puzzlemix", "saliencymix"]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
close = torch.testing.assert_close


def spied(forward: ImageForward) -> list[dict[str, Any]]:
    """What the mixer is called with, call by call."""
    seen: list[dict[str, Any]] = []
    function = FUNCTIONS[forward.mixer.name]

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(options)
        return function(*args, **options)

    forward.mixer = replace(forward.mixer, function=spy)
    return seen


def saliency_by_hand(model: nn.Module, pixels: Tensor, loss: Any) -> Tensor:
    pixels = pixels.clone().requires_grad_()
    loss(model(pixel_values=pixels).logits).backward()
    assert pixels.grad is not None
    return pixels.grad.square().sum(1).sqrt()


def assert_proportional(found: Tensor, expected: Tensor) -> None:
    """Row by row: what a row is compared with is the row."""
    found, expected = (one / one.amax((1, 2), keepdim=True) for one in (found, expected))
    close(found, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("mixer", SALIENT)
@pytest.mark.parametrize("clean", [True, False])
def test_saliency_is_the_norm_of_the_gradient_of_the_loss_at_the_pixels(mixer, clean):
    """With a clean pass: of that pass, BatchNorm by the batch; without: of a look in evaluation mode."""
    model, batch = build().train(), batch_of()
    forward = ImageForward(model, mixer)
    seen = spied(forward)
    forward(batch, plan_of(), seeded(), labels=Y, clean=clean)
    hand = build().train(clean)
    expected = saliency_by_hand(hand, batch["pixel_values"], lambda logits: F.cross_entropy(logits, Y))
    assert_proportional(seen[0]["saliency"], expected)


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        ("single_label_classification", torch.eye(5)[[0, 3, 1, 4]] * 0.8 + 0.04),
        ("multi_label_classification", torch.tensor([[1.0, 0, 0, 1, 1]]).repeat(ROWS, 1)),
    ],
)
def test_saliency_of_soft_and_of_several_labels(problem, labels):
    model, hand = build(), build()
    model.config.problem_type = problem
    forward = ImageForward(model, "saliencymix")
    seen = spied(forward)
    forward(batch_of(), plan_of(), seeded(), labels=labels)
    loss = F.cross_entropy if problem.startswith("single") else F.binary_cross_entropy_with_logits
    assert_proportional(
        seen[0]["saliency"],
        saliency_by_hand(hand, batch_of()["pixel_values"], lambda logits: loss(logits, labels)),
    )


@pytest.mark.parametrize("mixer", SALIENT)
def test_logitmix_takes_two_forwards_and_two_backwards(mixer, monkeypatch):
    """Forwards: the clean pass and the mixed one. Backwards: that to the clean pixels and that of the loss."""
    model, batch = build().train(), batch_of()
    forwards, backwards = Rows(model.stem), []
    engine = torch.autograd.graph._engine_run_backward

    def counted(*args: Any, **kwargs: Any) -> Any:
        backwards.append(1)
        return engine(*args, **kwargs)

    for module in (torch.autograd, torch.autograd.graph):
        monkeypatch.setattr(module, "_engine_run_backward", counted)
    clean, mixed, carried = ImageForward(model, mixer)(batch, plan_of(), seeded(), labels=Y)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not batch["pixel_values"].requires_grad
    LogitMixLoss()(clean, mixed, Y, carried).loss.backward()
    assert forwards.calls == [ROWS, ROWS]
    assert len(backwards) == 2
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("mixer", SALIENT)
def test_the_gradient_is_that_of_two_plain_passes(mixer):
    """Sharing the clean pass changes no number: clean images, then the same mixed ones, through a twin."""
    model, twin, batch = build().train(), build().train(), batch_of()
    forward = ImageForward(model, mixer)
    clean, mixed, carried = forward(batch, plan_of(), seeded(), labels=Y)
    LogitMixLoss()(clean, mixed, Y, carried).loss.backward()
    pixels, again = ImageForward(build().train(), mixer)._mixed_pixels(batch, plan_of(), seeded(), Y, build().train())[
        1:
    ]
    own, other = twin(**batch).logits, twin(pixel_values=pixels).logits
    LogitMixLoss()(own, other, Y, again).loss.backward()
    close([p.grad for p in model.parameters()], [p.grad for p in twin.parameters()], atol=1e-5, rtol=1e-4)
    close(dict(model.named_buffers()), dict(twin.named_buffers()))


def test_the_look_adds_nothing_to_gradients_that_are_there():
    """As under accumulation, where the last micro-batch's are."""
    model = build().train()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    for clean in (True, False):
        ImageForward(model, "puzzlemix", options={"adv_prob": 0.5})(
            batch_of(), plan_of(), seeded(), labels=Y, clean=clean
        )
    assert all(bool((parameter.grad == 7).all()) for parameter in model.parameters())


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("mixer", SALIENT)
def test_a_look_in_evaluation_mode_leaves_batchnorm_alone(mixer, clean):
    model, batch = build().train(), batch_of()
    before = {name: value.clone() for name, value in model.named_buffers()}
    forward = ImageForward(model, mixer, bn_mode="joint")
    forward.mix_pixels(batch, plan_of(), seeded(), Y)
    close(dict(model.named_buffers()), before, rtol=0, atol=0)
    forward(batch, plan_of(), seeded(), labels=Y, clean=clean)  # one pass that trains, of both or of the mixed alone
    assert {int(model.get_buffer(key) - before[key]) for key in before if key.endswith("tracked")} == {1}


def test_under_no_grad_the_numbers_are_the_same_and_no_graph_stays():
    batch = batch_of()
    with_graph = ImageForward(build(), "puzzlemix")(batch, plan_of(), seeded(), labels=Y)
    with torch.no_grad():
        without = ImageForward(build(), "puzzlemix")(batch, plan_of(), seeded(), labels=Y)
    close(without[:2], with_graph[:2])
    assert not without[0].requires_grad
    assert not without[1].requires_grad


def test_adversarial_noise_stays_within_eps_and_goes_where_it_was_drawn():
    model, batch = build().train(), batch_of()
    batch = {
        "pixel_values": (batch["pixel_values"].sigmoid() - torch.tensor(MEAN)[:, None, None])
        / torch.tensor(STD)[:, None, None]
    }
    options = {"adv_prob": 0.5, "adv_eps": 8.0, "blocks": 4}
    forward = ImageForward(model, "puzzlemix", options=options, mean=MEAN, std=STD)
    seen, count = spied(forward), Rows(model.stem)
    for seed in range(24):
        count.calls.clear()
        clean, mixed, _ = forward(batch, plan_of(), seeded(seed), labels=Y)
        assert count.calls == [ROWS] * (2 if seen[-1]["noise"] is None else 3)  # the look is another one then
        assert clean.isfinite().all()
        assert mixed.isfinite().all()
    noises = [call["noise"] for call in seen]
    assert {call["noisy"] for call in seen if "noisy" in call} == {"own", "partner", "both"}
    assert 1 <= sum(noise is None for noise in noises) <= 12  # a quarter of the batches has neither
    largest = [float((n * torch.tensor(STD)[:, None, None]).abs().max()) * 255 for n in noises if n is not None]
    assert max(largest) <= 8 + 1e-4
    assert max(largest) > 4
    assert seen[0]["mean"] == MEAN
    assert seen[0]["std"] == STD


def test_grey_images_take_the_first_of_a_processors_three_numbers():
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(64, 5)

        def forward(self, pixel_values):
            return self.line(pixel_values.flatten(1).tanh())

    batch = {"pixel_values": batch_of()["pixel_values"][:, :1]}
    forward = ImageForward(Grey(), "puzzlemix", options={"adv_prob": 1.0}, mean=MEAN, std=STD)
    seen = spied(forward)
    forward(batch, plan_of(), seeded(), labels=Y)
    assert (seen[0]["mean"], seen[0]["std"]) == (MEAN[:1], STD[:1])


@pytest.mark.parametrize("mixer", SALIENT)
@pytest.mark.parametrize("clean", [True, False])
def test_labels_are_asked_for(mixer, clean):
    with pytest.raises(UserError, match=f"'{mixer}' needs the saliency of the clean rows: give labels"):
        ImageForward(build(), mixer)(batch_of(), plan_of(), seeded(), clean=clean)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("mixer", SALIENT)
def test_a_row_whose_gradient_is_not_finite_counts_as_without_saliency(mixer, clean):
    """A diverging network must end in its own loss, and an overflow of half precision must not end the run."""
    model = build().train()
    batch = batch_of()
    forward = ImageForward(model, mixer, options={"adv_prob": 1.0} if mixer == "puzzlemix" else None)
    seen = spied(forward)
    with torch.no_grad():
        model.stem[0].weight.mul_(1e30)
        model.classifier.weight.mul_(1e30)
    carried = forward(batch, plan_of(), seeded(), labels=Y, clean=clean)[2]
    assert seen[0]["saliency"].isfinite().all()
    assert carried.shares.isfinite().all()


def test_a_large_gradient_keeps_its_shape():
    """Its square would overflow float32; its scale does not matter to a mixer."""
    gradient = torch.randn(2, 3, 8, 8, generator=seeded())
    small, large = saliency_of(gradient), saliency_of(gradient * 1e25)
    assert_proportional(large, small)
    assert_proportional(small, gradient.square().mean(1).sqrt())
    assert torch.equal(saliency_of(torch.zeros(1, 3, 8, 8)), torch.zeros(1, 8, 8))


def test_one_bad_row_leaves_the_others_alone():
    gradient = torch.randn(3, 3, 8, 8, generator=seeded())
    expected = saliency_of(gradient)
    gradient[1, 0, 0, 0] = float("nan")
    assert torch.equal(saliency_of(gradient)[[0, 2]], expected[[0, 2]])
    assert torch.equal(saliency_of(gradient)[1], torch.zeros(8, 8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_the_saliency_of_single(dtype):
    model, batch = build(), batch_of()
    found = []
    for enabled in (True, False):
        forward = ImageForward(model, "saliencymix")
        seen = spied(forward)
        with torch.autocast("cpu", dtype, enabled=enabled):
            forward(batch, plan_of(), seeded(), labels=Y)
        found.append(seen[0]["saliency"])
    assert found[0].dtype == torch.float32
    correlation = torch.corrcoef(torch.stack([one.flatten() for one in found]))[0, 1]
    assert float(correlation) > 0.97
