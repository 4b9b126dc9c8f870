"""Two processes over gloo, started as torchrun starts them (`accelerate launch --cpu` starts only one)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import ranks_of
from test_trainer import Rows, assert_equal_gradients, no_dropout
from worker import RAGGED

from logitmix_hf import LogitMixLoss, MixedForward, MixPlan
from logitmix_hf.plan import join_plans

WORKER = Path(__file__).parent / "worker.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return ranks_of(WORKER, tmp_path_factory.mktemp("ranks"), "3")


def test_weights_stay_equal_and_plans_differ(ranks):
    for one, other in zip(ranks[0]["weights"], ranks[1]["weights"], strict=True):
        assert torch.equal(one, other)
    assert len(ranks[0]["plans"]) == 3
    for one, other in zip(ranks[0]["plans"], ranks[1]["plans"], strict=True):
        assert not torch.equal(one[1], other[1])


def test_the_gradient_is_that_of_one_process_with_the_joined_plan(ranks):
    plan = join_plans([MixPlan(*rank["plans"][0]) for rank in ranks])
    # accelerate deals batches in turn: rank 0 has rows 0-3, rank 1 rows 4-7
    model, data = no_dropout().train(), Rows(24)
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
    assert ranks[0]["order"] == [row % 3 for row in range(23)]


def test_the_loss_of_an_evaluation_is_the_mean_over_its_rows(ranks):
    model, data = no_dropout().eval(), Rows(24)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), ranks[0]["weights"], strict=True):
            parameter.copy_(value)
        losses = torch.nn.functional.cross_entropy(model(**data.batch).logits, data.labels, reduction="none").double()
    for rank in ranks:
        assert rank["losses"] == {rows: pytest.approx(float(losses[:rows].mean()), abs=1e-6) for rows in RAGGED}
