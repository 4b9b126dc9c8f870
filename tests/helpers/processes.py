"""The commands in processes of their own, to be killed, signalled, and set against each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def start(
    argv: Sequence[object], *before: str, code: str | None = None, script: str = "run_glue.py", **more: str
) -> subprocess.Popen:
    """``python [before …] run_glue.py ARGV`` (or ``python -c code ARGV``), one thread each, ``more`` in the environment."""
    command = [sys.executable, "-c", code] if code else [sys.executable, *before, str(ROOT / script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}
    return subprocess.Popen(
        [*command, *map(str, argv)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def start_two(argv: Sequence[object]) -> list[subprocess.Popen]:
    """Two processes of one run without a launcher, which would end the second when the first ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [start(argv, RANK=rank, LOCAL_RANK=rank, **world) for rank in ("0", "1")]


def ranks_of(worker: Path, folder: Path, *words: str) -> list[Any]:
    """What a worker leaves as ``rank0.pt`` and ``rank1.pt`` in a folder, run in two processes over gloo."""
    command = [sys.executable, *TWO, str(worker), str(folder), *words]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def wait_for(condition: Callable[[], object], process: subprocess.Popen, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
