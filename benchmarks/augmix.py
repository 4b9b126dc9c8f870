"""How fast AugMix is beside torchvision's: `python -m benchmarks.augmix [--check]`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from torchvision.transforms import v2

from logitmix_hf.vision.data.augmix import FORMS, augmix

BAR = 5.0
"""Times as fast an image as ``torchvision.transforms.v2.AugMix``, which takes one at a time: given a batch it draws one chain
for all of its rows."""


def measure(form: str, batch: int, rounds: int) -> tuple[list[float], list[float]]:
    """CPU milliseconds an image of both sides, who take turns: ours on a batch, theirs image by image."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8))
    rival, single = v2.AugMix(), list(pixels.permute(0, 3, 1, 2).contiguous())
    ours, theirs = [], []
    for turn in range(rounds + 1):
        start = time.process_time()
        augmix(pixels, form, 0, turn, np.arange(batch))
        middle = time.process_time()
        for image in single:
            rival(image)
        end = time.process_time()
        if turn:  # the first only warms up
            ours.append((middle - start) * 1000 / batch)
            theirs.append((end - middle) * 1000 / batch)
    return ours, theirs


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; with ``--check`` 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--check", action="store_true")
    flags = parser.parse_args(argv)
    torch.set_num_threads(1)
    missed = []
    print("| form | ms an image | torchvision's | times as fast | of the rounds |\n|---|---|---|---|---|")
    for form in FORMS:
        ours, theirs = measure(form, flags.batch, flags.rounds)
        ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
        ratio = statistics.median(ratios)
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"| {form} | {statistics.median(ours):.3f} | {statistics.median(theirs):.3f} | {ratio:.1f} | {spread} |")
        if ratio < BAR:
            missed.append(f"missed: {form} is {ratio:.1f} times as fast, the bar is {BAR:g}")
    if flags.check and missed:
        print("\n".join(missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
