"""What asking for help or misspelling a flag costs: `python -m benchmarks.startup [--check]`."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from benchmarks.timing import quartiles

ROOT = Path(__file__).resolve().parents[1]
LIGHT = ("predict", "check", "export", "report", "card", "push")
OF_TRAINING = ("glue", "vision", "calibrate")
SECONDS, RATIO = 1.5, 1.15
IMPORT = "from transformers import TrainingArguments"
WORDS = {"help": ("--help",), "a misspelt flag": ("--otput_dir", "x")}
CODES = {"help": 0, "a misspelt flag": 2}


@dataclass(frozen=True)
class Start:
    """What was found of one command.

    Attributes:
        seconds: CPU seconds of its process, one a round.
        ratios: to those of importing TrainingArguments in the same round; empty where the bar is one of seconds.
    """

    command: str
    words: str
    seconds: Sequence[float]
    ratios: Sequence[float] = ()

    @property
    def missed(self) -> bool:
        """Whether the median lies above the bar."""
        if self.ratios:
            return statistics.median(self.ratios) > RATIO
        return statistics.median(self.seconds) >= SECONDS

    @property
    def bar(self) -> str:
        """The bar in words."""
        return f"at most {RATIO:g} x the import" if self.ratios else f"under {SECONDS:g} s"


def cpu_seconds(arguments: Sequence[str], code: int = 0) -> float:
    """CPU seconds, in user and system, of one Python process with these arguments.

    Raises:
        RuntimeError: when it ends with another exit code.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    after = getrusage(RUSAGE_CHILDREN)
    if done.returncode != code:
        raise RuntimeError(
            f"python {' '.join(arguments)} ended with {done.returncode}, not {code}:\n{done.stderr[-2000:]}"
        )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(commands: Sequence[str], rounds: int) -> tuple[list[float], list[Start]]:
    """Seconds of the import, and every command with help and with a misspelt flag, all in turn in every round."""
    sides = {(command, words): CODES[words] for command in commands for words in WORDS}
    imports: list[float] = []
    took: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        alone = cpu_seconds(["-c", IMPORT])
        found = {
            (command, words): cpu_seconds(["-m", "logitmix_hf.cli", command, *WORDS[words]], code)
            for (command, words), code in sides.items()
        }
        if turn == 0:  # it wrote byte code and filled the caches of the disk
            continue
        imports.append(alone)
        for side, value in found.items():
            took[side].append(value)
    return imports, [
        Start(
            command,
            words,
            seconds,
            [value / alone for value, alone in zip(seconds, imports, strict=True)] if command in OF_TRAINING else (),
        )
        for (command, words), seconds in took.items()
    ]


def table(starts: Sequence[Start]) -> str:
    """The rows as Markdown."""
    lines = ["| command | with | CPU seconds | quartiles | to the import | bar |", "|---|---|---|---|---|---|"]
    for start in starts:
        low, high = quartiles(start.seconds)
        ratio = f"{statistics.median(start.ratios):.3f}" if start.ratios else ""
        lines.append(
            f"| {start.command} | {start.words} | {statistics.median(start.seconds):.2f} | {low:.2f} to {high:.2f} | {ratio}"
            f" | {start.bar}{' MISSED' if start.missed else ''} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table; with ``--check`` 1 when a bar is missed."""
    flags = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    flags.add_argument("--rounds", type=int, default=7, help="times that everything has its turn")
    flags.add_argument("--commands", nargs="*", default=[*LIGHT, *OF_TRAINING], choices=[*LIGHT, *OF_TRAINING])
    flags.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed, naming it")
    options = flags.parse_args(argv)
    if options.rounds < 1:
        flags.error("--rounds must be at least 1")
    imports, starts = measure(options.commands, options.rounds)
    low, high = quartiles(imports)
    print(
        f"CPU seconds of one process, medians of {options.rounds} rounds; `{IMPORT}` alone {statistics.median(imports):.2f}"
        f" ({low:.2f} to {high:.2f})\n\n{table(starts)}"
    )
    missed = [start for start in starts if start.missed]
    for start in missed if options.check else ():
        print(f"missed: logitmix {start.command} with {start.words}: the bar is {start.bar}", file=sys.stderr)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
