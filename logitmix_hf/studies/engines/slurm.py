"""SLURM, by submitit: one array of jobs, an element for each attempt, which goes on without the driver."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from logitmix_hf.errors import UserError, one_line, say
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.attempt import PROGRAM
from logitmix_hf.studies.engines.cluster import AttemptTask
from logitmix_hf.studies.manifest import Cell, Study, write_manifest
from logitmix_hf.studies.outcome import Ending

SHORTEST = 15
"""Minutes: below ten or so submitit takes every signal for a time-out (facebookincubator/submitit #1656)."""


class Slurm:
    """Jobs of a queue.

    Args:
        study: whose runs they are; ids of jobs go into its manifest.
        most: at a time.
        program: what stands before the command.
        cluster: ``slurm``; tests have submitit's ``local``.
    """

    stays = True

    def __init__(
        self, study: Study, most: int | None = None, program: Sequence[str] = PROGRAM, cluster: str = "slurm"
    ) -> None:
        try:
            import submitit  # type: ignore
        except ImportError:
            raise UserError(
                "--engine slurm needs a package that is not installed: pip install 'logitmix_hf[slurm]' (Python 3.11 or newer)."
            ) from None
        resources = study.file.resources
        if resources.minutes <= SHORTEST:
            raise UserError(
                f"{study.file.source}: resources: minutes must be above {SHORTEST} for SLURM, got {resources.minutes:g}: in"
                " less time submitit takes every signal for the end of it."
            )
        try:
            self.executor: Any = submitit.AutoExecutor(folder=study.folder.absolute() / "slurm", cluster=cluster)
        except RuntimeError as problem:
            raise UserError(f"--engine slurm: {one_line(problem)}: is this machine one that submits jobs?") from None
        self.study, self.program, self.cluster, self.submitit = study, program, cluster, submitit
        options: dict[str, Any] = {"timeout_min": int(resources.minutes), "cpus_per_task": resources.all_cpus}
        if gpus := resources.all_gpus(there_are_some=False):
            options["gpus_per_node"] = max(1, int(gpus))
        if cluster == "slurm":
            options["slurm_array_parallelism"] = most or 256
            if resources.memory_gb:
                options["mem_gb"] = resources.memory_gb
            options |= {f"slurm_{name}": value for name, value in study.file.slurm.items()}
        self.executor.update_parameters(name=study.name, **options)
        self._waiting: list[Cell] = []
        self._jobs: list[tuple[Cell, Any]] = []
        self.jobs = study.jobs

    def free(self) -> int:
        return 100_000  # the queue is SLURM's

    def start(self, cell: Cell, closed: Collection[str] = ()) -> None:
        if closed and self.cluster == "slurm":
            self.executor.update_parameters(slurm_exclude=",".join(closed))
        if (job := self._queued(cell)) is not None:
            self._jobs.append((cell, job))
        else:
            self._waiting.append(cell)

    def _queued(self, cell: Cell) -> Any:
        """The job of an earlier driver, where it waits or runs still."""
        number = self.jobs.get(cell.id)
        if number is None or self.cluster != "slurm":
            return None
        job = self.submitit.SlurmJob(folder=self.study.folder.absolute() / "slurm", job_id=number)
        return None if job.done() or job.state in ("UNKNOWN", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL") else job

    def open(self, closed: Collection[str]) -> bool:
        return True

    def ended(self) -> list[tuple[Cell, Ending]]:
        if self._waiting:
            self._submit()
        if not any(job.done() for _, job in self._jobs):
            time.sleep(0.2 if self.cluster == "local" else 5)
        found, left = [], []
        for cell, job in self._jobs:
            if job.done():
                found.append((cell, self._ending(job)))
            else:
                left.append((cell, job))
        self._jobs = left
        return found

    def _submit(self) -> None:
        cells, self._waiting = self._waiting, []
        with (
            self.executor.batch()
        ):  # one array; what travels has `checkpoint`, which `map_array` of a function would lose
            jobs = [self.executor.submit(AttemptTask(self.study, cell, None, self.program)) for cell in cells]
        self._jobs += zip(cells, jobs, strict=True)
        self.jobs.update((cell.id, str(job.job_id)) for cell, job in zip(cells, jobs, strict=True))
        write_manifest(self.study)

    def _ending(self, job: Any) -> Ending:
        try:
            return job.result()
        except Exception as problem:  # whatever the job died of: its node, its time, or submitit itself
            return Ending(ends.LOST, line=one_line(problem)[:200], host=str(job.job_id))

    def stop(self) -> None:
        say("the jobs go on: the same command waits for them, scancel ends them.")

    def close(self) -> None:
        return None
