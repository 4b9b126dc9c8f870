"""What mixing costs a training step of images: `python -m benchmarks.vision_step [--check]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports its own start and stop

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.member_steps import PAIRS
from benchmarks.text_step import machine
from benchmarks.timing import CLOCKS, Pair, Row, as_json, measure, table
from benchmarks.vision_steps import BARE, METHODS, SIDE, build_steps, measure_training
from logitmix_hf.errors import UserError

OVERHEAD, LOGITMIX, PUZZLE = 1.15, 2.1, 3.3
BARS = {
    "logitmix": LOGITMIX,
    "logitmix, cutmix": LOGITMIX,
    "logitmix, puzzlemix": PUZZLE,
    "cut_mixmo, 2 members": 1.05,
    "cut_mixmo, 4 members": 1.10,
}
ROWS = {True: 128, False: 16}  # with and without a GPU
STEPS = {True: 20, False: 2}


def claims() -> list[Pair]:
    """The pairs to measure, with their bars where there is one."""
    return [
        Pair("vanilla", BARE),
        *(Pair(name, "vanilla", BARS.get(name)) for name in METHODS if name != "vanilla"),
        *PAIRS,
    ]


def run(model: str, rows: int, rounds: int, times: int, clock: str, output: Path) -> list[Row]:
    """Every row of the table. The trainer's own cost has a bar on a GPU alone: beside a CPU's step it is nothing."""
    found = measure(build_steps(model, rows, output), claims(), rounds, times, clock)
    bar = OVERHEAD if torch.cuda.is_available() else None
    return [measure_training(found[0], bar, model, rows, rounds, times, clock, output), *found]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table; with ``--check`` 1 when a bar is missed."""
    gpu = torch.cuda.is_available()
    flags = argparse.ArgumentParser(prog="python -m benchmarks.vision_step", description=__doc__)
    flags.add_argument("--model", default="resnet18", help=f"one of our networks, for {SIDE} x {SIDE} pixels")
    flags.add_argument("--batch", type=int, default=ROWS[gpu], help="images in a batch (GPU 128, CPU 16)")
    flags.add_argument("--steps", type=int, default=STEPS[gpu], help="steps in a row on each side of a pair")
    flags.add_argument("--rounds", type=int, default=15, help="times that all pairs are measured")
    flags.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="cpu: where others use the CPU too")
    flags.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed, naming it")
    flags.add_argument("--json", type=Path, help="write the numbers to this file")
    options = flags.parse_args(argv)
    if options.steps < 1 or options.rounds < 1 or options.batch < 2:
        flags.error("--steps and --rounds must be at least 1, --batch at least 2")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    place = {"model": options.model, **machine()}
    print(", ".join(f"{name} {value}" for name, value in place.items()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            rows = run(options.model, options.batch, options.rounds, options.steps, options.clock, Path(scratch))
        except UserError as problem:
            flags.error(str(problem))
    memory = "CUDA's allocator" if gpu else "torch's profiler"
    print(
        f"batch {options.batch} x 3 x {SIDE} x {SIDE}, {options.rounds} rounds of {options.steps} steps,"
        f" {options.clock} time, peaks by {memory}\n\n{table(rows)}"
    )
    if options.json:
        told = {**place, "batch": options.batch, "clock": options.clock, "rows": as_json(rows)}
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if not options.check:
        return 0
    missed = [row for row in rows if row.missed]
    for row in missed:
        print(f"missed: {row.one} took {row.ratio:.3f} of {row.other}, the bar is {row.bar:.3f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
