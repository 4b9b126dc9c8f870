"""Two processes over gloo, started as torchrun starts them (`accelerate launch --cpu` starts only one)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from joinedplans import join_plans
from processes import ranks_of
from test_image_trainer import Pictures, Plain
from test_trainer import Rows, assert_equal_gradients, no_dropout
from worker import METHODS, PASSES, RAGGED, STEPS, members

from logitmix_hf import LogitMixLoss, MixedForward, MixPlan, draw_plan
from logitmix_hf.plan import step_generator
from logitmix_hf.steps.members import MEMBERS
from logitmix_hf.vision.forward import ImageForward
from logitmix_hf.vision.members import MemberForward, MemberLoss, MemberPlan, draw_members

WORKER = Path(__file__).parent / "worker.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return ranks_of(WORKER, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(
    params=[("methods", case) for case in METHODS if case != "idle parameters"] + [("images", case) for case in PASSES],
    ids=lambda p: p[1],
)
def each(request, found):
    """What the two processes found of one kind of step."""
    kind, case = request.param
    return [rank[kind][case] for rank in found]


def test_weights_stay_equal(each):
    assert not any(rank.get("error") or rank.get("finds") for rank in each)
    for one, other in zip(each[0]["weights"], each[1]["weights"], strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all()


def test_parameters_that_take_no_part_end_in_one_line(found):
    for rank in found:
        assert "--ddp_find_unused_parameters true" in rank["methods"]["idle parameters"]["error"]
        assert "BertForSequenceClassification" in rank["methods"]["idle parameters"]["error"]


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ranks(found):
    return [rank["texts"] for rank in found]


def test_weights_stay_equal_and_plans_differ(ranks):
    for one, other in zip(ranks[0]["weights"], ranks[1]["weights"], strict=True):
        assert torch.equal(one, other)
    assert len(ranks[0]["plans"]) == STEPS
    for one, other in zip(ranks[0]["plans"], ranks[1]["plans"], strict=True):
        assert not torch.equal(one[1], other[1])


def test_the_gradient_is_that_of_one_process_with_the_joined_plan(ranks):
    plan = join_plans([MixPlan(*rank["plans"][0]) for rank in ranks])
    # accelerate deals batches in turn: rank 0 has rows 0-3, rank 1 rows 4-7
    model, data = no_dropout().train(), Rows(8 * STEPS)
    batch = {name: value[:8] for name, value in data.batch.items()}
    clean, mixed = MixedForward(model, "layer.1")(batch, plan)
    out = LogitMixLoss()(clean, mixed, data.labels[:8], plan)
    out.loss.backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    for rank in ranks:
        assert_equal_gradients(rank["gradients"], expected)
    line = next(line for line in ranks[0]["log"] if "loss" in line)
    assert line["loss"] == pytest.approx(float(out.loss), rel=1e-4)
    for name, term in out.terms.items():  # averaged over both processes
        assert line[f"loss_{name}"] == pytest.approx(float(term.mean()), rel=1e-4)
    assert line["lam"] == pytest.approx(float(plan.lam.mean()), rel=1e-4)


def test_predictions_keep_the_order_and_count_of_the_data(ranks):
    assert ranks[0]["order"] == [row % 3 for row in range(8 * STEPS - 1)]


def test_the_loss_of_an_evaluation_is_the_mean_over_its_rows(ranks):
    model, data = no_dropout().eval(), Rows(8 * STEPS)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), ranks[0]["weights"], strict=True):
            parameter.copy_(value)
        losses = torch.nn.functional.cross_entropy(model(**data.batch).logits, data.labels, reduction="none").double()
    for rank in ranks:
        assert rank["losses"] == {rows: pytest.approx(float(losses[:rows].mean()), abs=1e-6) for rows in RAGGED}


# --- images: two forwards of one DistributedDataParallel model before one backward ------------------------------------


@pytest.fixture
def pictured(found):
    return [rank["images"] for rank in found]


def test_the_loss_of_an_evaluation_of_images_is_the_mean_over_its_rows(pictured):
    model, data = Plain().eval(), Pictures(16)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), pictured[0]["plain"]["weights"], strict=True):
            parameter.copy_(value)
        expected = torch.nn.functional.cross_entropy(model(data.pixels[:13])["logits"], data.labels[:13])
    assert [rank["plain"]["loss"] for rank in pictured] == [pytest.approx(float(expected), abs=1e-6)] * 2


def test_the_gradient_of_images_is_that_of_one_process_with_the_joined_plan(pictured):
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
    for rank in pictured:
        assert_equal_gradients(rank["plain"]["gradients"], [p.grad for p in model.parameters()])


def test_the_gradient_of_members_is_that_of_one_process_with_the_joined_plan(pictured):
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
    for rank in pictured:
        assert_equal_gradients(rank["members"]["gradients"], [p.grad for p in model.parameters()])
