"""``python -m benchmarks.serve_load RUN``: many clients at once against ``logitmix serve``: errors, latency, memory.

Every client asks as soon as it is answered. The memory of the server is read each second; a leak shows as a slope.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


async def client(place: str, until: float, took: list[float], failed: list[str], number: int) -> None:
    """One client: a request after the other."""
    import httpx

    async with httpx.AsyncClient(timeout=60) as session:
        while time.monotonic() < until:
            began = time.monotonic()
            body = {"inputs": [f"a film of {number} parts that could be better", "a good one"][: 1 + number % 2]}
            try:
                response = await session.post(f"{place}/predict", json=body)
                if response.status_code != 200 or len(response.json()) != len(body["inputs"]):
                    failed.append(f"{response.status_code} {response.text[:80]}")
            except Exception as problem:
                failed.append(f"{type(problem).__name__}: {problem}")
            took.append(time.monotonic() - began)


async def load(place: str, clients: int, seconds: float, process: int) -> tuple[list[float], list[str], list[float]]:
    """All clients for so many seconds: latencies, failures, and the server's MiB each second."""
    took: list[float] = []
    failed: list[str] = []
    memory: list[float] = []
    until = time.monotonic() + seconds
    asked = [asyncio.create_task(client(place, until, took, failed, number)) for number in range(clients)]
    while time.monotonic() < until:
        memory.append(int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
        await asyncio.sleep(1)
    await asyncio.gather(*asked)
    return took, failed, memory


def main() -> None:
    """Start a server, ask it, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    command = [sys.executable, "-m", "logitmix_hf.cli", "serve", given.run, "--port", "0", "--device", "cpu"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
        assert found is not None
        time.sleep(1)
        took, failed, memory = asyncio.run(load(found[0], given.clients, given.seconds, server.pid))
    finally:
        server.terminate()
        server.wait()
    half = len(memory) // 2
    print(f"{len(took)} requests of {given.clients} clients in {given.seconds:g} s, {len(failed)} failed {failed[:1]}")
    print("latency: " + ", ".join(f"{name} {np.quantile(took, q) * 1e3:.0f} ms" for name, q in QUANTILES.items()))
    print(f"memory: {memory[0]:.0f} MiB at first, {max(memory[:half]):.0f} at most in the first half of the time,")
    print(f"        {max(memory[half:]):.0f} in the second, {memory[-1]:.0f} at the end")


QUANTILES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99, "longest": 1.0}

if __name__ == "__main__":
    main()
