"""This machine: so many children at a time, each with its own device or its share of the cores."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Collection, Sequence

from logitmix_hf.errors import UserError
from logitmix_hf.process import own_cores
from logitmix_hf.studies.attempt import POLL, PROGRAM, Attempt
from logitmix_hf.studies.file import Resources
from logitmix_hf.studies.manifest import Cell, Study
from logitmix_hf.studies.outcome import Ending


class Local:
    """Children of this process.

    Args:
        study: whose runs they are.
        most: at a time; None: as many as there are slots.
        program: what stands before the command.
    """

    stays = False

    def __init__(self, study: Study, most: int | None = None, program: Sequence[str] = PROGRAM) -> None:
        self.study, self.program = study, program
        slots = device_slots(study.file.resources, devices(), own_cores())
        if not slots:
            asked = study.file.resources.all_gpus(True)
            raise UserError(
                f"{study.file.source}: resources: gpus {asked:g} are more than the {len(devices())} of this machine: take"
                " fewer, or --engine ray or slurm."
            )
        self._slots = slots if most is None else [slots[number % len(slots)] for number in range(min(most, len(slots)))]
        self._busy: dict[int, Attempt] = {}

    def free(self) -> int:
        return len(self._slots) - len(self._busy)

    def start(self, cell: Cell, closed: Collection[str] = ()) -> None:
        slot = next(number for number in range(len(self._slots)) if number not in self._busy)
        environment = {"OMP_NUM_THREADS": str(self.study.file.resources.cpus)}
        if self._slots[slot]:
            environment["CUDA_VISIBLE_DEVICES"] = self._slots[slot]
        attempt = Attempt(cell, self.study.command, self.study.file.keep, self.program, environment)
        attempt.start()
        self._busy[slot] = attempt

    def ended(self) -> list[tuple[Cell, Ending]]:
        found = self._ended()
        if not found and self._busy:
            time.sleep(POLL)
            found = self._ended()
        return found

    def _ended(self) -> list[tuple[Cell, Ending]]:
        found = []
        for slot, attempt in list(self._busy.items()):
            if (outcome := attempt.poll()) is not None:
                del self._busy[slot]
                found.append((attempt.cell, outcome))
        return found

    def open(self, closed: Collection[str]) -> bool:
        return socket.gethostname() not in closed

    def stop(self) -> None:
        for attempt in self._busy.values():
            attempt.stop()

    def close(self) -> None:
        for attempt in self._busy.values():  # only where the driver itself failed
            attempt.stop()
        for attempt in self._busy.values():
            attempt.wait()


def devices() -> list[str]:
    """The names of this machine's CUDA devices, as ``CUDA_VISIBLE_DEVICES`` takes them, without importing torch."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() and name.strip() != "-1"]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = [line for line in done.stdout.splitlines() if line.startswith("GPU ")] if done.returncode == 0 else []
    return [str(number) for number in range(len(found))]


def device_slots(resources: Resources, names: Sequence[str], cores: int) -> list[str]:
    """The devices of each run that fits at a time, "" where it has none; no slot where it wants more than there are.

    Args:
        resources: of one run.
        names: the devices of this machine.
        cores: that this process may use.
    """
    gpus = resources.all_gpus(bool(names))
    if not gpus:
        return [""] * max(1, cores // resources.all_cpus)
    if gpus < 1:
        return [name for _ in range(int(1 / gpus + 1e-9)) for name in names]
    each = int(gpus)
    return [",".join(names[first : first + each]) for first in range(0, len(names) - each + 1, each)]
