"""The step of several members, by hand from its parts, and what it takes from a schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from logitmix_hf import LogitMixLoss, MixArguments, draw_plan
from logitmix_hf.errors import UserError
from logitmix_hf.steps import Where, build_step
from logitmix_hf.steps.members import MEMBERS
from logitmix_hf.vision import MIXERS, build_network
from logitmix_hf.vision.members import MemberForward, MemberLoss, draw_members

LABELS = torch.arange(8) % 5


def network(**config):
    torch.manual_seed(0)
    return build_network("digits", 5, 8, 1, **{"members": 2, **config})


def pixels():
    return torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def result(model, where=None, batch=None, **mix):
    step = build_step(model, MixArguments(**{"method": "cut_mixmo", **mix}))
    try:
        return step.run(model, batch or {"pixel_values": pixels()}, LABELS, where or Where(seed=3, step=7))
    finally:
        step.remove()


@pytest.mark.parametrize("step", range(4))
def test_a_step_is_a_draw_a_pass_and_a_loss(step):
    model, where = network(), Where(seed=3, step=step)
    found = result(model, where)
    generator = where.generator(MEMBERS)
    mask = "cutmix" if float(torch.rand((), generator=generator)) < 0.5 else "linear"
    plan = draw_members(8, 2, (8, 8), generator, mask=mask, alpha=2.0, root=3.0)
    logits = MemberForward(model)({"pixel_values": pixels()}, plan)
    torch.testing.assert_close(found.per_example, MemberLoss()(logits, LABELS, plan).per_example)


def test_mimo_shows_each_member_one_image_whole_and_weighs_them_alike():
    model = network(members=3)
    found = result(model, method="mimo", members=3)
    generator = Where(seed=3, step=7).generator(MEMBERS)
    torch.rand((), generator=generator)
    plan = draw_members(8, 3, (8, 8), generator, mask="linear", alpha=0.0)
    logits = MemberForward(model)({"pixel_values": pixels()}, plan)
    expected = sum(F.cross_entropy(logits[:, k], LABELS[plan.sources[:, k]], reduction="none") for k in range(3))
    torch.testing.assert_close(found.per_example, expected)
    torch.testing.assert_close(found.terms["lam"], torch.full((8,), 1 / 3))


def test_masks_fall_to_none_at_the_end_of_training():
    """Half of the batches take the mask until the last twelfth; in the last epoch none does."""
    model = network()
    step = build_step(model, MixArguments(method="cut_mixmo"))

    def masked(share: float) -> float:
        count = 0
        for number in range(60):
            where = Where(seed=0, step=number, share_done=share, epochs=24)
            plan = step.run(model, {"pixel_values": pixels()}, LABELS, where)
            del plan
            count += step.forward.stem.plan.masks.shape[2:] != (1, 1)
        return count / 60

    assert 0.3 < masked(0.2) < 0.7
    assert masked(0.9999) == 0.0
    step.remove()


def test_a_training_of_one_epoch_takes_the_mask_too():
    """Constant within an epoch, its only epoch would be its last, without any."""
    step = build_step(network(), MixArguments(method="cut_mixmo"))
    where = [Where(seed=0, step=0, share_done=share, epochs=1.0) for share in (0.0, 0.5, 11 / 12, 23 / 24, 1.0)]
    assert [step._mask_prob(one) for one in where] == pytest.approx([0.5, 0.5, 0.5, 0.25, 0.0])
    step.remove()


def test_one_member_is_the_plain_task_loss():
    model = network(members=1)
    found = result(model, members=1)
    torch.testing.assert_close(found.per_example, F.cross_entropy(model(pixels()).logits, LABELS, reduction="none"))


def test_pixels_are_mixed_first_and_labels_count_by_what_is_seen():
    model, where = network(), Where(seed=3, step=7)
    found = result(model, where, mixer="cutmix", mix_prob=1.0, method="linear_mixmo")
    generator = where.generator()
    torch.rand((), generator=generator)  # the draw of mix_prob
    drawn = draw_plan(8, 1.0, generator)  # CutMix's own alpha
    mixed, carried = MIXERS["cutmix"](pixels(), drawn, generator)
    generator = where.generator(MEMBERS)
    torch.rand((), generator=generator)
    plan = draw_members(8, 2, (8, 8), generator, mask="linear")
    logits = MemberForward(model)({"pixel_values": mixed}, plan)
    expected = 0
    for k in range(2):
        source = plan.sources[:, k]
        share = carried.lam[source]
        partner = carried.sources[source, 1]
        cost = share * F.cross_entropy(logits[:, k], LABELS[source], reduction="none")
        cost = cost + (1 - share) * F.cross_entropy(logits[:, k], LABELS[partner], reduction="none")
        expected = expected + plan.weights[:, k] * cost
    torch.testing.assert_close(found.per_example, expected)


def test_half_of_the_steps_mix_pixels_by_default():
    mix = MixArguments(method="cut_mixmo", mixer="cutmix").filled("image")
    assert (mix.mix_prob, mix.alpha) == (0.5, 1.0)
    assert MixArguments(method="cut_mixmo").filled("image").mixer is None


def test_the_terms_of_logitmix_join_every_head_when_they_are_asked_for():
    model, where = network(), Where(seed=3, step=7)
    options = {"mixer": "mixup", "mix_prob": 1.0, "lam_per": "example"}
    plain = result(network(), where, **options)
    found = result(model, where, w_cls=0.5, w_sim=2.0, **options)
    generator = where.generator()
    torch.rand((), generator=generator)
    drawn = draw_plan(8, MIXERS["mixup"].alpha, generator, per="example")
    mixed, carried = MIXERS["mixup"](pixels(), drawn, generator)
    heads = model(torch.cat([pixels(), mixed])).member_logits
    loss = LogitMixLoss(0.0, 0.5, 2.0)
    expected = sum(loss(head[:8], head[8:], LABELS, carried).per_example for head in heads.unbind(1)) / 2
    # BatchNorm saw another pass before this one in both: the first terms are the same.
    torch.testing.assert_close(found.per_example - plain.per_example, expected, atol=1e-5, rtol=1e-5)
    assert {"mix", "cls", "sim", "lam"} == found.terms.keys()


def test_weights_of_any_root_reach_the_loss():
    found = result(network(), weight_root=math.inf, member_mask="linear")
    other = result(network(), weight_root=1.0, member_mask="linear")
    assert not torch.allclose(found.per_example, other.per_example)


def test_several_labels_a_row_and_a_regression():
    for problem, labels in (
        ("multi_label_classification", torch.randint(0, 2, (8, 5)).float()),
        ("regression", torch.randn(8, 5)),
    ):
        model = network(problem_type=problem)
        step = build_step(model, MixArguments(method="linear_mixmo"))
        out = step.run(model, {"pixel_values": pixels()}, labels, Where(seed=0, step=0))
        out.per_example.mean().backward()
        assert torch.isfinite(out.per_example).all()
        assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("config", "mix", "words"),
    [
        ({}, {"members": 3}, "3 members.*has 2.*members=3.*members=2"),
        ({"members": 1}, {}, "2 members.*has 1.*build_network"),
    ],
)
def test_a_network_with_other_members_is_told(config, mix, words):
    with pytest.raises(UserError, match=words):
        result(network(**config), **mix)


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ({"method": "vanilla", "members": 2}, "members 2.*vanilla.*mimo, linear_mixmo, cut_mixmo"),
        ({"method": "logitmix", "member_mask": "fmix"}, "member_mask fmix.*logitmix"),
        ({"method": "mixup", "ensemble_average": "probs"}, "ensemble_average probs.*mixup"),
        ({"members": 0}, "members.*at least 1.*0"),
        ({"members": 2.5}, "members.*whole.*2.5"),
        ({"member_mask": "cutmx"}, "member_mask.*cutmx.*Did you mean 'cutmix'"),
        ({"member_mask": "puzzlemix"}, "puzzlemix.*saliency"),
        ({"members": 3, "member_mask": "cowmask"}, "cowmask.*2 members, got 3"),
        ({"member_mask_prob": 1.5}, "member_mask_prob.*at most 1"),
        ({"member_alpha": -1}, "member_alpha"),
        ({"weight_root": 0}, "weight_root.*above 0.*0"),
        ({"encoders": 2, "members": 3}, "encoders is 2.*1.*3"),
        ({"heads": 3}, "heads is 3"),
        ({"head_target": "larger"}, "head_target 'larger'.*--encoders 1"),
        ({"site": "stage.1"}, "site is 'stage.1'.*first convolution"),
        ({"w_mix": 0, "w_cls": 1}, "w_mix is 0"),
        ({"w_sim": 1}, "w_sim.*--mixer"),
        ({"vwci": 3}, "vwci"),
        ({"confidence_penalty": 0.1}, "confidence_penalty"),
    ],
)
def test_a_mistake_names_what_was_given_and_what_there_is(mix, words):
    with pytest.raises(UserError, match=f"(?s){words}"):
        MixArguments(**{"method": "cut_mixmo", **mix})


def test_text_has_no_members():
    with pytest.raises(UserError, match=r"cut_mixmo.*for images.*vanilla, mixup"):
        MixArguments(method="cut_mixmo").filled("text")


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("method", ["mimo", "linear_mixmo", "cut_mixmo"])
def test_the_last_batch_of_an_epoch_may_have_fewer_rows_than_members(method, rows):
    torch.manual_seed(0)
    model = network(members=4)
    images = pixels()[:rows]
    step = build_step(model, MixArguments(method=method, members=4))
    for number in range(4):
        found = step.run(model, {"pixel_values": images}, LABELS[:rows], Where(seed=3, step=number))
        assert found.per_example.shape == (rows,)
        assert found.per_example.isfinite().all()
