"""The pass over clean and mixed images: laws, networks by hand, and what it leaves behind."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tinyimages import LABELS, ROWS, SIDES, Rows, batch_of, build, images, plan_of, seeded
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.forward import ImageForward
from logitmix_hf.vision.sites import find_sites, stage_tensor, with_tensor

Y = torch.tensor([0, 3, 1, 4])
close = torch.testing.assert_close


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


def no_hooks(model: nn.Module) -> bool:
    return not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# --- at the pixels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("mixer", ["mixup", "cutmix"])
@torch.no_grad()
def test_at_the_input_the_mixed_images_go_through_the_untouched_model(name, mixer):
    model, batch, plan = build(name), batch_of(name), plan_of(0.5, 0.5, 0.5, 0.5)
    forward = ImageForward(model, mixer)
    clean, mixed, carried = forward(batch, plan, seeded())
    expected, done = MIXERS[mixer](batch["pixel_values"], plan, seeded())
    close(clean, model(**batch).logits, atol=1e-5, rtol=1e-4)
    close(mixed, model(pixel_values=expected).logits, atol=1e-5, rtol=1e-4)
    assert torch.equal(carried.shares, done.shares)
    assert no_hooks(model)
    assert torch.equal(forward.mix_pixels(batch, plan, seeded())[0], expected)


def test_joint_is_one_call_and_separate_two_with_the_statistics_of_each():
    plan, batch = plan_of(), batch_of()
    for mode in ("joint", "separate"):
        model, twin = build().train(), build().train()
        rows = Rows(model.stem)
        clean, mixed, _ = ImageForward(model, "cutmix", bn_mode=mode)(batch, plan, seeded())
        others, _ = MIXERS["cutmix"](batch["pixel_values"], plan, seeded())
        if mode == "joint":
            both = twin(pixel_values=torch.cat([batch["pixel_values"], others])).logits
            expected = both[:ROWS], both[ROWS:]
        else:
            expected = twin(**batch).logits, twin(pixel_values=others).logits
        assert rows.calls == ([2 * ROWS] if mode == "joint" else [ROWS, ROWS])
        close((clean, mixed), expected)
        for name, value in twin.named_buffers():
            close(model.get_buffer(name), value)
        counts = {int(value) for name, value in model.named_buffers() if name.endswith("num_batches_tracked")}
        assert counts == {2 if mode == "joint" else 3}  # one from build


def test_the_default_is_joint_and_separate_for_saliency():
    modes = {name: ImageForward(build(), name).bn_mode for name in MIXERS}
    assert {name for name, mode in modes.items() if mode == "separate"} == {"puzzlemix", "saliencymix"}


@pytest.mark.parametrize("mixer", MIXERS)
@torch.no_grad()
def test_share_one_gives_the_clean_row(mixer):
    model, batch = build(), batch_of()
    clean, mixed, carried = ImageForward(model, mixer)(batch, plan_of(1.0, 1.0, 0.4, 1.0), seeded(), labels=Y)
    close(mixed[[0, 1, 3]], clean[[0, 1, 3]], atol=1e-5, rtol=1e-4)
    assert float((mixed[2] - clean[2]).abs().max()) > 1e-3
    assert carried.lam[[0, 1, 3]].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("mixer", "expected"), [("cutmix", [ROWS]), ("puzzlemix", [ROWS, ROWS])])
def test_mixed_only_runs_the_mixed_rows_alone_and_looks_at_the_clean_ones_in_evaluation_mode(mixer, expected):
    model, batch = build().train(), batch_of()
    before, modes = buffers(model), []
    model.register_forward_pre_hook(lambda module, args: modes.append(module.training))
    rows = Rows(model.stem)
    forward = ImageForward(model, mixer)
    nothing, mixed, _ = forward(batch, plan_of(), seeded(), labels=Y, clean=False)
    assert nothing is None
    assert rows.calls == expected
    assert modes == [False] * (len(expected) - 1) + [True]
    assert all(module.training for module in model.modules())
    after = buffers(model)
    assert {int(after[key] - before[key]) for key in after if key.endswith("num_batches_tracked")} == {1}
    mixed.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_modules_that_were_frozen_in_evaluation_mode_stay_so():
    model = build().train()
    model.stem.eval()
    ImageForward(model, "puzzlemix")(batch_of(), plan_of(), seeded(), labels=Y, clean=False)
    assert not model.stem.training
    assert all(module.training for module in model.stages.modules())


def test_what_else_the_batch_holds_is_doubled_where_it_has_a_row_each():
    class Takes(nn.Module):
        def forward(self, pixel_values, weight, scale):
            assert len(weight) == len(pixel_values)
            return pixel_values.mean((2, 3)) * weight[:, None] * scale

    batch = {**batch_of(), "weight": torch.tensor([1.0, 2.0, 3.0, 4.0]), "scale": torch.tensor(2.0)}
    clean, mixed, _ = ImageForward(Takes(), "mixup")(batch, plan_of(), seeded())
    mean = batch["pixel_values"].mean((2, 3))
    close(clean, 2 * mean * batch["weight"][:, None])
    close(mixed, 2 * blend(mean, plan_of()) * batch["weight"][:, None])


# --- inside --------------------------------------------------------------------------------------------------------


def stage_by_hand(model: nn.Module, number: int, batch: dict[str, Tensor], change: Any) -> Tensor:
    """The logits of a network whose stage hands on ``change(what it would)``: the rows of the result alone."""

    def swap(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return with_tensor(output, change(stage_tensor(output)))

    handle = find_sites(model).stages[number - 1].register_forward_hook(swap)
    try:
        return model(**batch).logits
    finally:
        handle.remove()


@pytest.mark.parametrize("name", SIDES)
@torch.no_grad()
def test_after_a_stage_the_mixture_of_hidden_states_goes_on(name):
    model, batch, plan = build(name), batch_of(name), plan_of()
    untouched, last = model(**batch).logits, len(find_sites(model).stages)
    for site, number in (("stage.1", 1), ("middle", last // 2), (f"stage.{last}", last)):
        rows = Rows(find_sites(model).stages[-1])
        forward = ImageForward(model, "mixup", site)
        clean, mixed, carried = forward(batch, plan, seeded())
        assert rows.calls == [ROWS if number == last else 2 * ROWS]
        close(clean, untouched, atol=1e-5, rtol=1e-4)
        close(mixed, stage_by_hand(model, number, batch, lambda h: blend(h, plan)), atol=1e-5, rtol=1e-4)
        assert torch.equal(carried.shares, plan.shares)
        nothing, alone, _ = forward(batch, plan, seeded(), clean=False)
        assert nothing is None
        close(alone, mixed, atol=1e-5, rtol=1e-4)
        whole = MixPlan(plan.sources, torch.tensor([[1.0, 0.0]]).repeat(ROWS, 1))
        close(forward(batch, whole, seeded())[1], untouched, atol=1e-5, rtol=1e-4)
        # An evaluation that comes in between is not mixed, nor is it once the hooks are gone.
        assert torch.equal(model(**batch).logits, untouched)
        forward.remove()
        rows.handle.remove()
        assert no_hooks(model)


@torch.no_grad()
def test_our_network_by_hand():
    model, batch, plan = build(), batch_of(), plan_of()
    hidden = model.stages[0](model.stem(batch["pixel_values"]))
    for stage in model.stages[1:]:
        hidden = stage(torch.cat([hidden, blend(hidden, plan)]) if len(hidden) == ROWS else hidden)
    logits = model.classifier(hidden.mean((2, 3)))
    clean, mixed, _ = ImageForward(model, "mixup", "stage.1")(batch, plan, seeded())
    close(torch.cat([clean, mixed]), logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mixer", ["patchup_hard", "patchup_soft"])
@pytest.mark.parametrize("name", ["digits", "resnet", "convnext"])
@torch.no_grad()
def test_patchup_alters_blocks_of_hidden_maps(name, mixer):
    model, batch, plan = build(name), batch_of(name), plan_of()
    options = {"block_size": 3, "gamma": 0.6}
    clean, mixed, carried = ImageForward(model, mixer, "stage.1", options=options)(batch, plan, seeded(4))
    seen = []

    def alter(hidden: Tensor) -> Tensor:
        seen.append(MIXERS[mixer](hidden, plan, seeded(4), **options))
        return seen[-1][0]

    twin = build(name)
    close(mixed, stage_by_hand(twin, 1, batch, alter), atol=1e-5, rtol=1e-4)
    close(clean, twin(**batch).logits, atol=1e-5, rtol=1e-4)
    assert torch.equal(carried.shares, seen[0][1].shares)
    assert not torch.equal(carried.shares, plan.shares)


@pytest.mark.parametrize("name", SIDES)
@torch.no_grad()
def test_at_pooled_mixed_logits_are_the_mixture_of_logits(name):
    model, batch, plan = build(name), batch_of(name), plan_of()
    clean, mixed, _ = ImageForward(model, "mixup", "pooled")(batch, plan, seeded())
    close(mixed, blend(clean, plan), atol=1e-5, rtol=1e-4)
    assert float(LogitMixLoss()(clean, mixed, Y, plan).terms["sim"].max()) < 1e-9


@torch.no_grad()
def test_a_linear_network_has_no_similarity_to_learn_and_ours_has():
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(192, LABELS)

        def forward(self, pixel_values):
            return self.line(pixel_values.flatten(1))

    for model, zero in ((Linear(), True), (build(), False)):
        clean, mixed, carried = ImageForward(model, "mixup")(batch_of(), plan_of(), seeded())
        sim = LogitMixLoss()(clean, mixed, Y, carried).terms["sim"]
        assert (float(sim.max()) < 1e-9) if zero else (float(sim.min()) > 1e-4)


@torch.no_grad()
def test_stages_are_drawn_by_the_generator_the_input_among_them():
    model, batch, plan = build(), batch_of(), plan_of()
    fixed = [ImageForward(build(), "mixup", site)(batch, plan, seeded())[1] for site in ("input", "stage.1", "stage.2")]
    forward, seen = ImageForward(model, "mixup", "stages"), []
    for seed in range(30):
        mixed = forward(batch, plan, seeded(seed))[1]
        close(mixed, forward(batch, plan, seeded(seed))[1])
        seen.append([torch.allclose(mixed, one, atol=1e-4) for one in fixed].index(True))
    assert {seen.count(stage) > 4 for stage in range(3)} == {True}


@torch.no_grad()
def test_several_passes_on_one_model_do_not_wake_each_other():
    batch, plan = batch_of(), plan_of()
    alone = [ImageForward(build(), mixer, "middle")(batch, plan, seeded()) for mixer in ("mixup", "patchup_hard")]
    model = build()
    together = [ImageForward(model, mixer, "middle") for mixer in ("mixup", "patchup_hard")]
    for _ in range(2):
        for forward, expected in zip(together, alone, strict=True):
            close(forward(batch, plan, seeded())[:2], expected[:2], atol=1e-5, rtol=1e-4)


class Checkpointed(nn.Module):
    """Whole stages with their hooks are run again in the backward pass."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reentrant = reentrant
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.stages = nn.ModuleList(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.Tanh()) for _ in range(3))
        self.line = nn.Linear(6, LABELS)

    def forward(self, pixel_values):
        hidden = self.stem(pixel_values)
        for stage in self.stages:
            hidden = (
                stage(hidden) if self.reentrant is None else checkpoint(stage, hidden, use_reentrant=self.reentrant)
            )
        return self.line(hidden.mean((2, 3)))


def gradients_of(model: nn.Module, mixer: str, site: str, batch: dict[str, Tensor]) -> list[Tensor]:
    clean, mixed, carried = ImageForward(model, mixer, site)(batch, plan_of(), seeded())
    LogitMixLoss()(clean, mixed, Y, carried).loss.backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("mixer", ["mixup", "patchup_hard"])
def test_a_checkpointed_stage_draws_again_what_it_drew(mixer, reentrant):
    plain = gradients_of(Checkpointed(None), mixer, "stage.2", batch_of())
    close(gradients_of(Checkpointed(reentrant), mixer, "stage.2", batch_of()), plain, atol=1e-6, rtol=1e-4)


# transformers cannot make the inputs of Swin require gradients, which the reentrant way needs.
@pytest.mark.parametrize(("name", "reentrant"), [("vit", False), ("vit", True), ("swin", False)])
def test_gradient_checkpointing_of_the_hub_gives_the_same_gradients(name, reentrant):
    found = []
    for checkpointing in (True, False):
        model = build(name)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            if reentrant:
                model.enable_input_require_grads()
        found.append(gradients_of(model.train(), "mixup", "stage.1", batch_of(name)))
    close(found[0], found[1], atol=1e-6, rtol=1e-4)


def test_backward_may_wait_until_after_an_evaluation_was_begun():
    model, batch = build(), batch_of()
    forward = ImageForward(model, "mixup", "middle")
    _, mixed, _ = forward(batch, plan_of(), seeded())
    with torch.no_grad():
        assert len(model.eval()(**batch).logits) == ROWS
    mixed.sum().backward()
    assert len(model(**batch).logits) == ROWS


# --- the authors' fault ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_cutmix_in_place_would_pull_unrelated_logits_together_and_ours_does_not():
    """The released code writes into the clean batch, so that both halves of the joined batch are the mixed one: with f
    its logits, L_sim is MSE(lam f + (1 - lam) f[pi], f) = (1 - lam)^2 MSE(f, f[pi])."""
    model, batch, plan = build(), batch_of(), plan_of(0.3, 0.3, 0.3, 0.3)
    before = batch["pixel_values"].clone()
    forward = ImageForward(model, "cutmix", options={"lam_correction": False})
    clean, mixed, carried = forward(batch, plan, seeded(2))
    loss = LogitMixLoss()
    aliased = float(loss(mixed, mixed, Y, carried).terms["sim"].mean())
    assert aliased == pytest.approx(0.7**2 * float(F.mse_loss(mixed, mixed[plan.sources[:, 1]])), rel=1e-5)
    ours = loss(clean, mixed, Y, carried).terms
    assert torch.equal(batch["pixel_values"], before)
    close(clean, model(pixel_values=before).logits, atol=1e-5, rtol=1e-4)
    assert float(ours["sim"].mean()) != pytest.approx(aliased, rel=0.05)
    assert float(ours["cls"].mean()) == pytest.approx(float(F.cross_entropy(clean, Y)), rel=1e-5)
    assert float(ours["cls"].mean()) != pytest.approx(float(F.cross_entropy(mixed, Y)), rel=0.05)


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_mistakes_are_named():
    model, batch = build(), batch_of()
    for options, words in (
        ({"mixer": "cutmx"}, "Did you mean 'cutmix'"),
        ({"site": "stage.9"}, "stages 1 to 3"),
        ({"mixer": "cutmix", "site": "stage.1"}, "mixes pixels.*take mixup or patchup_hard or patchup_soft"),
        ({"mixer": "patchup_hard", "site": "pooled"}, "take mixup"),
        ({"mixer": "cutmix", "site": "stages"}, "mixes pixels"),
        ({"site": "middle", "bn_mode": "separate"}, "two passes, and site 'middle' has one"),
    ):
        with pytest.raises(UserError, match=words):
            ImageForward(model, **options)
    assert no_hooks(model)
    with pytest.raises(UserError, match="plan speaks of 3 rows, the batch has 4"):
        ImageForward(model)(batch, plan_of(0.5, 0.5, 0.5), seeded())
    with pytest.raises(UserError, match="accelerate launch"):
        ImageForward(nn.DataParallel(model))
    with pytest.raises(UserError, match="cuts feature maps"):
        ImageForward(build("vit"), "patchup_hard", "stage.1")(batch_of("vit"), plan_of(), seeded())


def test_a_network_that_passes_its_stages_by_is_found_out():
    class PassesBy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for _ in range(2))

        def forward(self, pixel_values):
            return self.stages[0].forward(pixel_values).mean((2, 3))

    with pytest.raises(UserError, match="PassesBy does not pass its images through.*take site 'input'"):
        ImageForward(PassesBy(), "mixup", "stage.1")(batch_of(), plan_of(), seeded())


def test_a_copy_made_after_removal_is_free_of_it():
    model = build()
    forward = ImageForward(model, "mixup", "pooled")
    forward(batch_of(), plan_of(), seeded())
    forward.remove()
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(model)(images()).logits, model(images()).logits)
