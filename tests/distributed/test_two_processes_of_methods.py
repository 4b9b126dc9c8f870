"""Every kind of text step in two processes, where DDP does not look for parameters that took no part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from text_methods_worker import CASES

WORKER = Path(__file__).parent / "text_methods_worker.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(WORKER), str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


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
