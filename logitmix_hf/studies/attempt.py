"""One attempt at one run: claim it, decide how it goes on, run the command as a child, say how it ended.

Every engine comes through here. At most one attempt a run does anything: it holds a lock of its own for its life, besides
the one that the training takes in its folder, so that a second one finds it busy and not a mistake.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.lock import LOCK, check_free, writing
from logitmix_hf.reporting.folder import ATTEMPTS, ERRORS, MODEL_FILES, OUTPUT, RECORD, record_of
from logitmix_hf.reporting.record import now
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.child import child_environment
from logitmix_hf.studies.launch import Launch
from logitmix_hf.studies.manifest import Cell
from logitmix_hf.studies.outcome import Ending

PROGRAM = Launch().program
CHILD = Path(__file__).with_name("child.py")
POLL = 0.1


class Attempt:
    """One attempt; :meth:`start`, then :meth:`poll` until it gives an outcome.

    Args:
        cell: the run.
        command: ``glue`` or ``vision``.
        keep: what of a finished run stays, as in the file.
        program: what stands before the command; tests have a cheaper one.
        environment: beside this process's own: devices, threads.
    """

    def __init__(
        self,
        cell: Cell,
        command: str,
        keep: Sequence[str] = ("predictions", "card"),
        program: Sequence[str] = PROGRAM,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.cell, self.command, self.keep, self.program = cell, command, keep, program
        self.environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.outcome: Ending | None = None
        self.stopped = False
        self._held = ExitStack()
        self._began = time.monotonic()

    def start(self) -> None:
        """Claim the run and start its command; afterwards ``outcome`` is set where there is nothing to wait for."""
        try:
            claim = claim_folder(self.cell)
            claim.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(writing(claim))
            check_free(self.cell.folder)
        except UserError as busy:
            self._end(Ending(ends.BUSY, line=str(busy)))
            return
        except OSError as problem:
            kind = ends.outcome_kind(1, None, str(problem), stopped=False)
            self._end(Ending(kind, line=one_line(problem)))
            return
        try:
            self._start()
        except BaseException:  # an interrupt too leaves nothing behind; raised again
            self._held.close()
            raise

    def _start(self) -> None:
        folder = self.cell.folder
        how = decide(folder)
        if how == "done":
            drop_weights(folder, self.keep)
            self._end(Ending(ends.DONE))
            return
        folder.mkdir(parents=True, exist_ok=True)
        again = [] if how == "start" else [f"--{how}"]
        command = [*self.program, self.command, *self.cell.words, "--disable_tqdm", "true", *again]
        device = self.environment.get("CUDA_VISIBLE_DEVICES")
        write_event(folder, "start", how=how, device=device, step=ends.last_step(folder))
        environment = {**child_environment(), "PYTHONUNBUFFERED": "1", **self.environment}
        with open(folder / OUTPUT, "ab") as output, open(folder / ERRORS, "ab") as errors:
            for log in (output, errors):
                log.write(f"{ends.BEGIN}{now()} {how}\n".encode())
                log.flush()
            # Its own session: a Ctrl-C reaches us alone, and we tell each child once.
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    def poll(self) -> Ending | None:
        """How it ended; None while it runs. Never waits: who waits inside a signal handler while the wait outside holds the
        lock of the process waits for ever."""
        if self.outcome is None and self.process is not None and (code := self.process.poll()) is not None:
            self._finish(code)
        return self.outcome

    def _finish(self, code: int) -> None:
        folder = self.cell.folder
        line = ends.last_line(folder)
        kind = ends.outcome_kind(code, record_of(folder), line, stopped=self.stopped)
        if kind == ends.DONE:
            line = ""
        seconds = round(time.monotonic() - self._began, 1)
        outcome = Ending(kind, code, line, socket.gethostname(), seconds, ends.last_step(folder))
        with suppress(OSError):  # of a full disk
            write_event(folder, "end", kind=kind, code=code, seconds=seconds, step=outcome.step, line=line)
            if kind == ends.DONE:
                drop_weights(folder, self.keep)
        self._end(outcome)

    def _end(self, outcome: Ending) -> None:
        self._held.close()
        self.outcome = replace(outcome, host=outcome.host or socket.gethostname())

    def stop(self) -> None:
        """Let it save a checkpoint and end; a second time, at once."""
        self.stopped = True
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def lives(self) -> bool:
        """Whether the child runs, asked without the lock of ``Popen``: a signal handler may have come while it was held."""
        if self.process is None or self.process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def note(self, kind: str) -> None:
        """Write how it ended where nobody polls any more."""
        seconds, step = round(time.monotonic() - self._began, 1), ends.last_step(self.cell.folder)
        write_event(self.cell.folder, "end", kind=kind, code=None, seconds=seconds, step=step, line="")
        self._held.close()

    def wait(self) -> Ending:
        """Poll until it ends."""
        while (outcome := self.poll()) is None:
            time.sleep(POLL)
        return outcome


def claim_folder(cell: Cell) -> Path:
    """Where the lock of an attempt lies: not in the run's folder, whose lock is the training's."""
    return cell.folder.parent.parent / "claims" / cell.id


def is_running(cell: Cell) -> bool:
    """Whether an attempt, or a training that somebody started otherwise, lives."""
    try:
        check_free(claim_folder(cell))
        check_free(cell.folder)
    except UserError:
        return True
    return False


def decide(folder: Path) -> str:
    """``done``, ``resume``, ``overwrite`` or ``start``. What holds no run that can be read is moved to ``.broken-N``."""
    record = record_of(folder)
    if record is not None:
        if record.get("status") == "done":
            return "done"
        lines = ends.read_attempts(folder)
        last = next((each for each in reversed(lines) if each["event"] in ("again", "end")), None)
        fresh = last is not None and last["event"] == "again" and last.get("anew")
        return "overwrite" if fresh else "resume"
    beside = (ATTEMPTS, OUTPUT, ERRORS, LOCK, f".{RECORD}.")
    if folder.is_dir() and not all(entry.name.startswith(beside) for entry in folder.iterdir()):
        number = 1
        while (broken := folder.with_name(f"{folder.name}.broken-{number}")).exists():
            number += 1
        os.replace(folder, broken)
    return "start"


def write_event(folder: Path, event: str, **more: Any) -> None:
    """A line of ``attempts.jsonl``: one write, so that a crash cuts a line short and never two into one."""
    entry = {"event": event, "at": now(), "host": socket.gethostname(), "pid": os.getpid(), **more}
    path = folder / ATTEMPTS
    cut = path.is_file() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    with open(path, "ab", buffering=0) as file:
        file.write((("\n" if cut else "") + json.dumps(entry) + "\n").encode("utf-8"))
        os.fsync(file.fileno())


def drop_weights(folder: Path, keep: Sequence[str]) -> None:
    """Remove what of a finished run is not to stay."""
    if "model" not in keep:
        for pattern in MODEL_FILES:
            if "safetensors" in pattern:
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)
    if "card" not in keep:
        (folder / "README.md").unlink(missing_ok=True)
    if "checkpoints" not in keep:
        for path in folder.glob("checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)
