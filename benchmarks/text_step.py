"""What mixing costs a training step: `python -m benchmarks.text_step [--check] [--startup]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports its own start and stop

import torch
from transformers import __version__ as transformers_version
from transformers.utils import logging as transformers_logging

from benchmarks.against_script import measure_startup, startup_table
from benchmarks.models import model_folder
from benchmarks.steps import LENGTH, ROWS, build_steps
from benchmarks.timing import Pair, as_json, measure, table

STOCK, SLACK, AGAINST_PAPER = 1.03, 1.10, 0.75


def claims(depth: int) -> list[Pair]:
    """The pairs to measure with their bars, for a network of ``depth`` layers.

    A step that mixes after layer k of N runs the layers from there on for mixed rows too: 1 + (N - k) / N of a plain
    step. At ``cls`` and ``pooled`` only the head sees mixed rows. Mixup without clean rows costs a plain step at any site.
    """
    after = [("embeddings", 0), *((f"layer.{number}", number) for number in range(1, depth + 1))]
    return [
        Pair("vanilla", "stock", STOCK),
        *(Pair(site, "vanilla", SLACK * (1 + (depth - number) / depth)) for site, number in after),
        Pair("cls", "vanilla", SLACK),
        Pair("pooled", "vanilla", SLACK),
        *(Pair(f"mixup {site}", "vanilla", SLACK) for site in (*dict(after), "cls", "pooled")),
        Pair("three passes", "vanilla"),
        Pair("embeddings", "three passes", AGAINST_PAPER),
    ]


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "device": gpu or "cpu",
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "transformers": transformers_version,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table; with ``--check`` 1 when a bar is missed."""
    flags = argparse.ArgumentParser(prog="python -m benchmarks.text_step", description=__doc__)
    flags.add_argument("--model", default="builtin", help="builtin (MiniLM-L6 or its shape), tiny, or a folder")
    flags.add_argument("--steps", type=int, default=2, help="steps in a row on each side of a pair")
    flags.add_argument("--rounds", type=int, default=15, help="times that all pairs are measured")
    flags.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: where others use the CPU too")
    flags.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed, naming it")
    flags.add_argument("--startup", action="store_true", help="measure start, preparation and evaluation instead")
    flags.add_argument("--only", default="", help="of all steps those with this in their name, against vanilla: mixup")
    flags.add_argument("--json", type=Path, help="write the numbers to this file")
    options = flags.parse_args(argv)
    if options.steps < 1 or options.rounds < 1:
        flags.error("--steps and --rounds must be at least 1")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    with tempfile.TemporaryDirectory() as scratch:
        folder, model = model_folder(options.model, Path(scratch) / "model")
        place = machine()
        print(", ".join(f"{name} {value}" for name, value in {"model": model, **place}.items()), flush=True)
        if options.startup:
            found = measure_startup(folder, Path(scratch), options.rounds)
            result, text, missed = {"startup": found}, startup_table(found), []
        else:
            steps, depth = build_steps(folder, Path(scratch) / "runs", options.only)
            pairs = [pair for pair in claims(depth) if {pair.one, pair.other} <= steps.keys()]
            rows = measure(steps, pairs, options.rounds, options.steps, options.clock)
            memory = "CUDA's allocator" if torch.cuda.is_available() else "torch's profiler"
            print(
                f"batch {ROWS} x {LENGTH}, {options.rounds} rounds of {options.steps} steps, {options.clock} time,"
                f" peaks by {memory}\n"
            )
            result, text = {"rows": as_json(rows)}, table(rows)
            missed = [row for row in rows if row.missed]
    print(text)
    if options.json:
        options.json.write_text(
            json.dumps({"model": model, **place, "clock": options.clock, **result}, indent=2) + "\n", encoding="utf-8"
        )
    if not options.check:
        return 0
    for row in missed:
        print(f"missed: {row.one} took {row.ratio:.3f} of {row.other}, the bar is {row.bar:.3f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
