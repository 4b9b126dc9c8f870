"""What one task of Ray or SLURM does on its machine: an attempt, watched, ended by a file that the driver lays down."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.attempt import PROGRAM, Attempt
from logitmix_hf.studies.manifest import Cell, Study
from logitmix_hf.studies.outcome import Ending

LOOK = 0.5
"""Seconds between two looks at the child and at the driver's file."""


class AttemptTask:
    """One attempt, as it travels to another machine, which must see the study's folder under the same path.

    Args:
        study: whose run it is.
        cell: the run.
        stop: a file; once it is there, the run saves a checkpoint and ends. None: nobody lays one down.
        program: what stands before the command.
    """

    def __init__(self, study: Study, cell: Cell, stop: Path | None = None, program: Sequence[str] = PROGRAM) -> None:
        self.cell, self.command, self.keep, self.program = cell, study.command, list(study.file.keep), list(program)
        self.threads, self.home, self.stop = study.file.resources.cpus, os.getcwd(), stop
        self._attempt: Attempt | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_attempt": None}

    def __call__(self) -> Ending:
        """Carry it out; the ending."""
        os.chdir(self.home)  # names of folders are relative to where the driver was started
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        self._attempt = attempt = Attempt(self.cell, self.command, self.keep, self.program, environment)
        attempt.start()
        while (ending := attempt.poll()) is None:
            if self.stop is not None and not attempt.stopped and self.stop.exists():
                attempt.stop()
            time.sleep(LOOK)
        return ending

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """What submitit calls when SLURM's time is up or the node is wanted: the child saves, the job is queued again.
        (submitit requeues a ``CommandFunction`` at no time-out: facebookincubator/submitit #1732.)"""
        from submitit.helpers import DelayedSubmission  # type: ignore

        if (attempt := self._attempt) is not None:
            attempt.stop()
            while attempt.lives():
                time.sleep(0.1)
            attempt.note(ends.PREEMPTED)
        return DelayedSubmission(self)
