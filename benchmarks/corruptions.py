"""How fast small images are corrupted, on one core: `python -m benchmarks.corruptions [--check]`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from logitmix_hf.vision.data.corruptions import NAMES, SEVERITIES, corrupt

BAR = 2000.0
"""Images of 32 x 32 a second, in the mean over corruptions and severities (the time of all, not the mean of rates)."""
ROWS = 500


def measure(
    rows: int, rounds: int, names: Sequence[str] = NAMES, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Of each corruption the CPU milliseconds an image, one number a round: the mean over severities."""
    images = np.random.default_rng(0).integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    idx = np.arange(rows)
    for name in names:  # matrices are made once
        for severity in SEVERITIES:
            corrupt(images[:2], name, severity, idx[:2])
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            start = clock()
            for severity in SEVERITIES:
                corrupt(images, name, severity, idx)
            found[name].append((clock() - start) * 1000 / rows / len(SEVERITIES))
    return found


def rates(found: Mapping[str, Sequence[float]]) -> list[float]:
    """Images a second over all corruptions, one number a round."""
    return [1000 * len(found) / sum(times) for times in zip(*found.values(), strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; with ``--check`` 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args(argv)
    found = measure(flags.rows, flags.rounds)
    print("| corruption | ms an image | of the rounds |\n|---|---|---|")
    for name, times in found.items():
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} to {max(times):.3f} |")
    every = rates(found)
    middle = statistics.median(every)
    print(
        f"\nin the mean {middle:,.0f} images a second ({min(every):,.0f} to {max(every):,.0f}); the bar is {BAR:,.0f}"
    )
    if flags.check and middle < BAR:
        print(f"missed: {middle:,.0f} images a second, the bar is {BAR:,.0f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
