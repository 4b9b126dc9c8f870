"""How far each run of a study is, read from its own folder: nothing else is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from logitmix_hf.reporting.folder import record_of
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.attempt import is_running
from logitmix_hf.studies.manifest import Cell, Study

RUNNING, WAITING = "running", "waiting"


@dataclass(frozen=True)
class State:
    """kind: ``done``, ``running``, ``waiting``, or why it was given up (``failed``, ``diverged``, ``mistake``, ``killed`` …).

    line: the last line of an attempt that failed. seconds: of a run that is done. begun: whether it left anything.
    """

    kind: str
    line: str = ""
    seconds: float | None = None
    begun: bool = False
    push_failed: bool = False


def state_of(cell: Cell, retries: int) -> State:
    """The state of one run."""
    record = record_of(cell.folder)
    lines = ends.read_attempts(cell.folder)
    last = next((each for each in reversed(lines) if each["event"] == "end"), {})
    if record is not None and record.get("status") == ends.DONE:
        return State(ends.DONE, seconds=_seconds(record, lines), begun=True, push_failed=last.get("kind") == ends.PUSH)
    if is_running(cell):
        return State(RUNNING, begun=True)
    if why := ends.given_up(lines, retries):
        return State(why[0], why[1], begun=True)
    return State(WAITING, str(last.get("line", "")), begun=record is not None)


def states_of(study: Study) -> dict[str, State]:
    """The state of each run that the file names now, by id."""
    return {cell.id: state_of(cell, study.file.retries) for cell in study.live}


def _seconds(record: dict[str, Any], lines: list[dict[str, Any]]) -> float | None:
    """Of all attempts at a run; of one that a study did not start, what the run says of itself."""
    spent = sum(float(each.get("seconds") or 0) for each in lines if each["event"] == "end")
    if spent:
        return spent
    try:
        begun, done = (datetime.fromisoformat(str(record[name])) for name in ("started", "finished"))
        return (done - begun).total_seconds()
    except (KeyError, ValueError):
        return None
