"""Images in two processes over gloo: two forwards of one DistributedDataParallel model before one backward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from image_worker import CASES, members
from processes import ranks_of
from test_image_trainer import Pictures, Plain
from test_trainer import assert_equal_gradients

from logitmix_hf import LogitMixLoss, draw_plan
from logitmix_hf.plan import join_plans, step_generator
from logitmix_hf.steps.members import MEMBERS
from logitmix_hf.vision.forward import ImageForward
from logitmix_hf.vision.members import MemberForward, MemberLoss, MemberPlan, draw_members

WORKER = Path(__file__).parent / "image_worker.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return ranks_of(WORKER, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", CASES)
def test_every_pass_trains_and_weights_stay_equal(ranks, case):
    assert [rank[case]["error"] for rank in ranks] == ["", ""]
    for one, other in zip(ranks[0][case]["weights"], ranks[1][case]["weights"], strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all()


def test_the_loss_of_an_evaluation_is_the_mean_over_its_rows(ranks):
    model, data = Plain().eval(), Pictures(16)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), ranks[0]["plain"]["weights"], strict=True):
            parameter.copy_(value)
        expected = torch.nn.functional.cross_entropy(model(data.pixels[:13])["logits"], data.labels[:13])
    assert [rank["plain"]["loss"] for rank in ranks] == [pytest.approx(float(expected), abs=1e-6)] * 2


def test_the_gradient_is_that_of_one_process_with_the_joined_plan(ranks):
    data, plans, pictures, order = Pictures(16), [], [], []
    for rank in (0, 1):
        for micro in (0, 1):
            generator = step_generator(5, 0, micro, rank)
            torch.rand((), generator=generator)  # the draw of mix_prob
            start = 4 * micro + 2 * rank  # accelerate deals batches in turn
            part = {"pixel_values": data.pixels[start : start + 2]}
            mixed, carried = ImageForward(Plain()).mix_pixels(part, draw_plan(2, 3.0, generator), generator)
            plans.append(carried)
            pictures.append(mixed)
            order += [start, start + 1]
    model = Plain().train()
    clean, mixed = model(data.pixels[order])["logits"], model(torch.cat(pictures))["logits"]
    LogitMixLoss()(clean, mixed, data.labels[order], join_plans(plans)).loss.backward()
    for rank in ranks:
        assert_equal_gradients(rank["plain"]["gradients"], [p.grad for p in model.parameters()])


def test_the_gradient_of_members_is_that_of_one_process_with_the_joined_plan(ranks):
    data, plans, order = Pictures(16), [], []
    for rank in (0, 1):
        for micro in (0, 1):
            generator = step_generator(5, 0, micro, rank, MEMBERS)
            mask = "cutmix" if float(torch.rand((), generator=generator)) < 0.5 else "linear"
            plan = draw_members(2, 2, (8, 8), generator, mask=mask)
            plans.append(MemberPlan(plan.sources, plan.shares, plan.masks.expand(-1, -1, 8, 8), plan.weights))
            start = 4 * micro + 2 * rank
            order += [start, start + 1]
    sources = torch.cat([plan.sources + 2 * number for number, plan in enumerate(plans)])
    joined = MemberPlan(
        sources, *(torch.cat([getattr(plan, name) for plan in plans]) for name in ("shares", "masks", "weights"))
    )
    model = members().train()
    logits = MemberForward(model)({"pixel_values": data.pixels[order]}, joined)
    MemberLoss()(logits, data.labels[order], joined).loss.backward()
    for rank in ranks:
        assert_equal_gradients(rank["members"]["gradients"], [p.grad for p in model.parameters()])
