"""How fast images are mixed and made ready: `python -m benchmarks.mixing [--check]`."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torchvision

from benchmarks import image_rivals as rivals
from benchmarks.timing import CLOCKS, quartiles

Step = Callable[[], object]
SHAPES = ((128, 32, 100), (64, 224, 1000))  # rows, side, classes
MASKS = ((8, 0.4), (16, 2.5))  # blocks a side, milliseconds an image
MASKED, LEVELS = 100, 3
LOADED, LOADED_SIDE, LOADED_BATCH, LOADED_RATIO = 4096, 32, 128, 20.0


@dataclass(frozen=True)
class Claim:
    """What is measured.

    Attributes:
        what, against: names of both sides; ``against`` is empty where there is no rival.
        images: how many a call handles.
        faster: how many times as fast as the rival ours must be, at least; None: it is only told.
        most: milliseconds an image that ours may take.
    """

    what: str
    against: str
    images: int
    ours: Step
    rival: Step | None = None
    faster: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Row:
    """What was found.

    Attributes:
        ours, rival: median milliseconds of a call.
        ratio: median over the rounds of time(rival) / time(ours): how many times as fast ours is.
        spread: quartiles of that over the rounds.
    """

    claim: Claim
    ours: float
    rival: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def each(self) -> float:
        """Milliseconds an image."""
        return self.ours / self.claim.images

    @property
    def missed(self) -> bool:
        """Whether the bar was missed."""
        slow = self.claim.faster is not None and (self.ratio is None or self.ratio < self.claim.faster)
        return slow or (self.claim.most is not None and self.each > self.claim.most)

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.claim.faster is not None:
            return f"at least {self.claim.faster:g}"
        return "" if self.claim.most is None else f"at most {self.claim.most:g} ms an image"

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or nothing where there is no bar."""
        return ("MISSED" if self.missed else "met") if self.bar else ""


def claims(channels_last: bool = False, dense: bool = False) -> list[Claim]:
    """Everything, in the order of the table. Rows of timm are left out where it is not installed."""
    found = []
    for rows, side, classes in SHAPES:
        images, labels = rivals.batch(rows, side, classes, channels_last)
        shape = f"{rows} x 3 x {side} x {side}"
        for mixer in ("mixup", "cutmix"):
            given = (mixer, images, labels, classes)
            own, what = rivals.ours(*given, dense=dense), f"{mixer}, {shape}"
            found.append(Claim(what, "torchvision v2", rows, own, rivals.torchvision_mix(*given), faster=1))
            if rivals.HAVE_TIMM:
                found.append(Claim(what, "timm on a clone", rows, own, rivals.timm_mix(*given), faster=1))
                found.append(Claim(what, "timm, batch lost", rows, own, rivals.timm_mix(*given, clone=False)))
        given = ("resizemix", images, labels, classes)
        own, what = rivals.ours(*given, dense=dense), f"resizemix, {shape}"
        found.append(Claim(what, "its code on torchvision v2", rows, own, rivals.torchvision_mix(*given), faster=1))
        cutmix = rivals.torchvision_mix("cutmix", *given[1:])
        found.append(Claim(what, "torchvision v2's CutMix", rows, own, cutmix))
    for blocks, most in MASKS:
        masks = rivals.puzzle_masks(MASKED, blocks, LEVELS)
        found.append(Claim(f"puzzlemix masks, {blocks} x {blocks}, {LEVELS} levels", "", MASKED, masks, most=most))
    images, labels = rivals.pixels(LOADED, LOADED_SIDE)
    found.append(
        Claim(
            f"batches of {LOADED_BATCH} from memory, {LOADED_SIDE} x {LOADED_SIDE}",
            "torchvision v2 on PIL",
            LOADED_BATCH,
            rivals.from_memory(images, labels, LOADED_BATCH),
            rivals.from_pil(images, labels, LOADED_BATCH),
            faster=LOADED_RATIO,
        )
    )
    return found


def measure(claim: Claim, rounds: int, seconds: float, now: Callable[[], float]) -> Row:
    """Let both sides take turns, ``rounds`` times; a turn calls one side until about ``seconds`` are over.

    The median call of a turn counts: both sides draw new shares and boxes with every call. Who begins changes with
    every round.
    """
    sides: dict[str, Step] = {"ours": claim.ours}
    if claim.rival is not None:
        sides["rival"] = claim.rival
    calls = {}
    for name, step in sides.items():
        step()
        calls[name] = max(3, round(seconds / max(_time(step, now), 1e-6)))
    took: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=turn % 2 == 1):
            took[name].append(1e3 * statistics.median(_time(sides[name], now) for _ in range(calls[name])))
    own = statistics.median(took["ours"])
    if claim.rival is None:
        return Row(claim, own)
    ratios = [theirs / mine for mine, theirs in zip(took["ours"], took["rival"], strict=True)]
    return Row(claim, own, statistics.median(took["rival"]), statistics.median(ratios), quartiles(ratios))


def _time(step: Step, now: Callable[[], float]) -> float:
    begun = now()
    step()
    return now() - begun


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| what | against | ours, ms | rival, ms | ours, images/s | times as fast | quartiles | bar | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rival = "" if row.rival is None else f"{row.rival:.3f}"
        ratio = f"{row.each:.3f} ms an image" if row.ratio is None else f"{row.ratio:.2f}"
        spread = "" if row.spread is None else f"{row.spread[0]:.2f} to {row.spread[1]:.2f}"
        lines.append(
            f"| {row.claim.what} | {row.claim.against} | {row.ours:.3f} | {rival} | {1e3 / row.each:,.0f} | {ratio}"
            f" | {spread} | {row.bar} | {row.verdict} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table; with ``--check`` 1 when a bar is missed or a rival is not there."""
    flags = argparse.ArgumentParser(prog="python -m benchmarks.mixing", description=__doc__)
    flags.add_argument("--rounds", type=int, default=15, help="turns of each side of each row")
    flags.add_argument("--seconds", type=float, default=0.05, help="about how long a turn of one side lasts")
    flags.add_argument("--clock", choices=tuple(CLOCKS), default="cpu", help="cpu: where others use the CPU too")
    flags.add_argument("--threads", type=int, default=1, help="threads of torch")
    flags.add_argument("--channels_last", action="store_true", help="mix batches as our collator makes them")
    flags.add_argument("--dense", action="store_true", help="make (B, C) targets of our plans too, as the rivals do")
    flags.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed, naming it")
    options = flags.parse_args(argv)
    if options.rounds < 1 or options.threads < 1 or options.seconds <= 0:
        flags.error("--rounds and --threads must be at least 1, --seconds above 0")
    torch.set_num_threads(options.threads)
    layout = "channels-last" if options.channels_last else "contiguous"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(
        f"device cpu, threads {options.threads}, load {load}, torch {torch.__version__}, torchvision"
        f" {torchvision.__version__}; {options.clock} time, medians of {options.rounds} rounds, {layout} batches."
        f"\nMixing: images are new tensors; the rivals make mixed targets, we the plan that our losses take"
        f"{', and mixed targets of it' if options.dense else ''}.\nNobody else has ResizeMix: its rival is written with"
        " torchvision's resize; CutMix, which resizes nothing, is only told.\n",
        flush=True,
    )
    rows = [
        measure(claim, options.rounds, options.seconds, CLOCKS[options.clock])
        for claim in claims(options.channels_last, options.dense)
    ]
    print(table(rows))
    if not rivals.HAVE_TIMM:
        print("\ntimm is not installed, its rows are left out: pip install timm", file=sys.stderr)
    if not options.check:
        return 0
    missed = [row for row in rows if row.missed]
    for row in missed:
        found = f"{row.each:.3f} ms an image" if row.ratio is None else f"{row.ratio:.3f} times as fast"
        against = f" against {row.claim.against}" if row.claim.against else ""
        print(f"missed: {row.claim.what}{against}: {found}, the bar is {row.bar}", file=sys.stderr)
    return 1 if missed or not rivals.HAVE_TIMM else 0


if __name__ == "__main__":
    sys.exit(main())
