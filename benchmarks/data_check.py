"""What looking at a million rows costs before a training: `python -m benchmarks.data_check [--check]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.startup import cpu_seconds

ROWS, SECONDS = 1_000_000, 20.0
WORDS, CLASSES = 12, 5


def write_rows(path: Path, rows: int) -> None:
    """A CSV file of ``rows`` texts of twelve words out of 5,000, each of one of five classes."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for begin in range(0, rows, 10_000):
            some = draw.integers(0, 5000, (min(10_000, rows - begin), WORDS)).tolist()
            file.writelines(f"{' '.join(f'word{n}' for n in row)},class {sum(row) % CLASSES}\n" for row in some)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print; with ``--check`` 1 when the bar is missed."""
    flags = argparse.ArgumentParser(prog="python -m benchmarks.data_check", description=__doc__)
    flags.add_argument("--rows", type=int, default=ROWS, help="of the file that is checked")
    flags.add_argument("--rounds", type=int, default=3, help="how often")
    flags.add_argument("--check", action="store_true", help="exit with 1 when the bar is missed")
    options = flags.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_rows(path, options.rows)
        words = ["-m", "logitmix_hf.cli", "check", "--train_file", str(path)]
        took = sorted(cpu_seconds(words) for _ in range(options.rounds))
    median = took[len(took) // 2]
    print(
        f"{options.rows:,} rows of {WORDS} words: {median:.1f} s of CPU ({took[0]:.1f} to {took[-1]:.1f}, {len(took)} rounds)"
    )
    if options.check and median >= SECONDS * options.rows / ROWS:
        print(f"missed: {median:.1f} s, the bar is {SECONDS:g} s a million rows", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
