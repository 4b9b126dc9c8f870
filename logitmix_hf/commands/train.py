"""What the commands that go the way of a training do once their flags are read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from logitmix_hf.process import guarded

if TYPE_CHECKING:
    from logitmix_hf.training.job import Job


def run_command(parse: Callable[[Sequence[str], str], Job], argv: Sequence[str] | None, prog: str) -> int:
    """Read the words (None: of this process) and carry them out; returns the exit code."""

    def run() -> int:
        job = parse(sys.argv[1:] if argv is None else list(argv), prog)
        from logitmix_hf.training.run import fine_tune  # takes longer than to read the flags, which may be wrong

        return fine_tune(job)

    return guarded(run)
