"""How processes of one run speak: the main one says what libraries warn of, the others nothing but errors."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from logitmix_hf import process

SAYS = """
import sys, warnings
from logitmix_hf.process import guarded

def command():
    warnings.warn("from Python")
    import torch
    module = torch.nn.parallel.DistributedDataParallel  # its reducer warns in C++
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    model = module(torch.nn.Linear(1, 1), find_unused_parameters=True)
    model(torch.ones(1, 1)).sum().backward()
    print("error: mine", file=sys.stderr)

sys.exit(guarded(command))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_warnings_are_said_by_the_main_process_alone(rank):
    environment = {**os.environ, "RANK": rank}
    for name in ("TORCH_CPP_LOG_LEVEL", "TRANSFORMERS_VERBOSITY", "PYTHONWARNINGS"):
        environment.pop(name, None)
    told = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, env=environment, timeout=120)
    assert told.returncode == 0, told.stderr
    assert "error: mine" in told.stderr
    for words in ("from Python", "find_unused_parameters=True was specified"):
        assert (words in told.stderr) == (rank == "0"), told.stderr


def test_what_we_warn_of_is_a_line_without_its_place_in_the_code():
    process.speak_once()
    own, other = process.__file__.replace("process.py", "losses.py"), "/somewhere/else.py"
    assert warnings.formatwarning(UserWarning("one\x1b[2J"), UserWarning, own, 7) == "one\\x1b[2J\n"
    assert warnings.formatwarning(UserWarning("one"), UserWarning, other, 7).startswith(f"{other}:7: UserWarning: one")
