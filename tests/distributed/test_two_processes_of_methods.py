"""Every kind of text step in two processes, where DDP does not look for parameters that took no part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import ranks_of
from text_methods_worker import CASES

WORKER = Path(__file__).parent / "text_methods_worker.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return ranks_of(WORKER, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", [case for case in CASES if case != "idle parameters"])
def test_weights_stay_equal(ranks, case):
    assert [rank[case]["error"] for rank in ranks] == ["", ""]
    assert not any(rank[case]["finds"] for rank in ranks)
    for one, other in zip(ranks[0][case]["weights"], ranks[1][case]["weights"], strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all()


def test_parameters_that_take_no_part_end_in_one_line(ranks):
    for rank in ranks:
        assert "--ddp_find_unused_parameters true" in rank["idle parameters"]["error"]
        assert "BertForSequenceClassification" in rank["idle parameters"]["error"]
