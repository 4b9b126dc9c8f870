"""How attempts at a run end, and what follows: read from files alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf.errors import printable
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.folder import ATTEMPTS, ERRORS

DONE, PUSH, BUSY = "done", "push failed", "busy"
PREEMPTED, KILLED, STOPPED, LOST = "preempted", "killed", "stopped", "lost"
DISK, FAILED = "disk full", "failed"
DIVERGED, MISTAKE = "diverged", "mistake"

FINAL = (DIVERGED, MISTAKE)
"""Not retried: the same would happen again."""
INTERRUPTED = (PREEMPTED, KILLED, LOST)
"""Goes on from its last checkpoint, so often in vain and no more."""
TRIES = 2
"""Of a run that ends with a traceback."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    kind: a word of this module. code: of the process, None where none is known. line: the last that it said of it.
    step: of the last checkpoint then.
    """

    kind: str
    code: int | None = None
    line: str = ""
    host: str = ""
    seconds: float = 0.0
    step: int = 0


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without one."""
    found = [path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*")]
    return max((int(name) for name in found if name.isdigit()), default=0)


def outcome_kind(code: int, record: Mapping[str, Any] | None, line: str, *, stopped: bool) -> str:
    """What an exit code means, given what the run wrote.

    Args:
        code: of the process; below 0 a signal's number.
        record: ``run.json``.
        line: the last of what it said on stderr.
        stopped: by us, on the way out.
    """
    status = None if record is None else record.get("status")
    if status == "done":
        return PUSH if code == 3 else DONE
    if stopped and code != 2:
        return STOPPED
    if code in (130, 143, -2, -15) or (code not in (0, 2) and status == "interrupted"):
        return PREEMPTED
    if code < 0 or code in (137, 139):
        return KILLED
    if code == 2:
        return MISTAKE
    if "TrainingDiverged" in line:
        return DIVERGED
    if re.search(r"No space left on device|Disk quota exceeded|CheckpointError|PytorchStreamWriter failed", line):
        return DISK
    return FAILED


def last_line(folder: Path) -> str:
    """The last line of stderr that is no bar, without secrets and in a terminal's letters; the line of an error before what
    came after it."""
    try:
        with open(folder / ERRORS, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 65536))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # The last is a launcher's word for what a process of it said before.
    passed_over = re.compile(r"\s*$|.*(it/s\]|ChildFailedError)")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if not passed_over.match(line)]
    lines = lines[max((n for n, line in enumerate(lines) if line.startswith(BEGIN)), default=0) :]
    told = [line for line in lines if re.match(r"error: |[A-Za-z_][\w.]*(Error|Exception|Diverged|Interrupt)\b", line)]
    last = (told or [line for line in lines if not line.startswith(BEGIN)] or [""])[-1]
    return printable(scrub(last))[:500]


BEGIN = "=== attempt "
"""Where a new attempt begins in the logs."""


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``attempts.jsonl``; one that a crash cut short is passed over."""
    try:
        text = (folder / ATTEMPTS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and "event" in entry:
            lines.append(entry)
    return lines


def given_up(lines: Sequence[Mapping[str, Any]], retries: int) -> tuple[str, str] | None:
    """Why a run that is not done is not tried again, and its last line; None where it is.

    A run that ended with a traceback is tried ``TRIES`` times in all, one that was interrupted again and again without a new
    checkpoint ``retries`` times more. ``{"event": "again"}`` begins a new count.
    """
    ends: list[Mapping[str, Any]] = []
    for entry in lines:
        if entry["event"] == "again":
            ends = []
        elif entry["event"] == "end":
            ends.append(entry)
    if not ends:
        return None
    kind, line = str(ends[-1].get("kind")), str(ends[-1].get("line", ""))
    if kind in FINAL:
        return kind, line
    if kind == FAILED and sum(end.get("kind") == FAILED for end in ends) >= TRIES:
        return kind, line
    vain = 0
    for end in reversed(ends):
        if end.get("kind") not in INTERRUPTED or end.get("step") != ends[-1].get("step"):
            break
        vain += 1
    return (kind, line or f"{vain} times without a new checkpoint") if vain > retries else None
