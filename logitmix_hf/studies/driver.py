"""The loop of a study: start what is neither done nor given up, judge how attempts end, leave bad hosts, stop in order."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence

from logitmix_hf.errors import say
from logitmix_hf.lock import writing
from logitmix_hf.process import handling
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.attempt import write_event
from logitmix_hf.studies.engines.engine import Engine
from logitmix_hf.studies.manifest import Cell, Study, write_manifest
from logitmix_hf.studies.outcome import Ending
from logitmix_hf.studies.state import RUNNING, WAITING, state_of

IN_A_ROW = 3
"""Failures of one host without a success between them."""
WITHOUT_SUCCESS = 5
"""Failures of a study, on whatever hosts, in which nothing ended well."""

_COUNTED = (ends.FAILED, ends.MISTAKE, ends.KILLED, ends.LOST)
"""A run that diverged says nothing of its host, nor one that was told to go."""


class Breaker:
    """Counts how attempts end."""

    def __init__(self) -> None:
        self._row: dict[str, int] = defaultdict(int)
        self._failures = 0
        self._success = False
        self.lines: dict[str, str] = {}

    def saw(self, host: str, kind: str, line: str = "") -> bool:
        """Note an end; returns whether this one closed the host."""
        if kind in (ends.DONE, ends.PUSH):
            self._row[host], self._success = 0, True
        elif kind in _COUNTED:
            self._row[host] += 1
            self._failures += 1
            self.lines[host] = line
            return self._row[host] == IN_A_ROW
        return False

    @property
    def closed(self) -> list[str]:
        """Hosts that get no more runs."""
        return sorted(host for host, row in self._row.items() if row >= IN_A_ROW)

    @property
    def stops(self) -> bool:
        """Whether so much failed, and nothing else, that the rest would too."""
        return not self._success and self._failures >= WITHOUT_SUCCESS


BUSY_AGAIN = 5.0
"""Seconds until a run that somebody else holds is asked for again."""


class Driver:
    """One invocation of ``study run``.

    Args:
        study: with every id; its manifest is written first.
        cells: those to run.
        engine: makes the engine, once there is something to start.
        retry_failed: begin a new count for those that were given up.
        steal: take the study from a driver that holds it.
    """

    def __init__(
        self,
        study: Study,
        cells: Sequence[Cell],
        engine: Callable[[], Engine],
        *,
        retry_failed: bool = False,
        steal: bool = False,
    ) -> None:
        self.study, self.cells, self.make_engine = study, cells, engine
        self.retry_failed, self.steal = retry_failed, steal
        self.signals: list[int] = []
        self.pause = ""
        self.total = len(self.cells)
        self._queue: deque[Cell] = deque()
        self._running: dict[str, Cell] = {}
        self._later: dict[str, float] = {}
        self._lost: Counter[str] = Counter()
        self._breaker = Breaker()
        self._ended = 0

    def run(self) -> int:
        """Start, resume and wait; returns 0, or 128 + the number of the signal that ended it. Why the study paused, if it
        did, stands in ``pause``.

        Raises:
            UserError: another driver holds the study.
        """
        self.study.folder.mkdir(parents=True, exist_ok=True)
        noting = handling(lambda number, frame: self.signals.append(number), signal.SIGINT, signal.SIGTERM)
        with writing(self.study.folder, steal=self.steal), noting:
            write_manifest(self.study)
            self._queue.extend(self._todo())
            if self._left():
                engine = self.make_engine()
                try:
                    self._loop(engine)
                finally:
                    engine.close()
        return 128 + self.signals[0] if self.signals else 0

    def _todo(self) -> list[Cell]:
        found = []
        for cell in self.cells:
            kind = state_of(cell, self.study.file.retries).kind
            if kind == ends.DONE:
                continue
            if kind not in (RUNNING, WAITING):
                if not self.retry_failed:
                    continue
                write_event(cell.folder, "again", anew=kind in ends.FINAL)  # a new count of attempts
            found.append(cell)
        return found

    def _loop(self, engine: Engine) -> None:
        told = 0
        while self._left() or self._running:
            if len(self.signals) > told:  # a second one ends the children at once
                told = len(self.signals)
                engine.stop()
            if self.signals and engine.stays:
                return
            if not (self.signals or self.pause):
                self._start_some(engine)
            elif not self._running:
                return
            for cell, outcome in engine.ended():
                self._running.pop(cell.id, None)
                self._judge(cell, outcome, engine)
            if not self._running and self._queue:
                time.sleep(0.05)

    def _left(self) -> bool:
        """Whether anything is to be started still."""
        return bool(self._queue)

    def _start_some(self, engine: Engine) -> None:
        for _ in range(len(self._queue)):
            if engine.free() <= 0:
                return
            cell = self._queue.popleft()
            if self._later.get(cell.id, 0) > time.monotonic():
                self._queue.append(cell)
                continue
            engine.start(cell, self._breaker.closed)
            self._running[cell.id] = cell

    def _judge(self, cell: Cell, outcome: Ending, engine: Engine) -> None:
        kind = outcome.kind
        if kind == ends.BUSY:
            if cell.id not in self._later:
                say(f"busy: {cell.name} is asked for again: {outcome.line}")
            self._later[cell.id] = time.monotonic() + BUSY_AGAIN
            self._queue.append(cell)
            return
        self._ended += kind in (ends.DONE, ends.PUSH)
        say(self._told(cell, outcome))
        if self._breaker.saw(outcome.host, kind, outcome.line):
            say(
                f"{outcome.host} gets no more runs: {IN_A_ROW} failed there one after the other, the last: {outcome.line}"
            )
        if self._breaker.stops or not engine.open(self._breaker.closed):
            self.pause = f"one failure after the other and nothing done, the last: {outcome.line}"
        if kind == ends.DISK:
            free = shutil.disk_usage(self.study.folder).free / 1e6
            self.pause = f"the disk is full, {free:,.0f} MB are free in {self.study.folder}: make room first"
        self._lost[cell.id] += kind == ends.LOST
        retries = self.study.file.retries
        goes_on = kind in (*ends.INTERRUPTED, ends.FAILED) and self._lost[cell.id] <= retries
        if goes_on and state_of(cell, retries).kind == WAITING:
            self._queue.append(cell)

    def _told(self, cell: Cell, outcome: Ending) -> str:
        seconds = f" in {outcome.seconds:.0f} s" if outcome.seconds else ""
        if outcome.kind == ends.DONE:
            return f"[{self._ended}/{self.total}] done: {cell.name}{seconds}"
        at = f" at step {outcome.step}" if outcome.step else ""
        return f"{outcome.kind}: {cell.name}{at}{seconds}{': ' + outcome.line if outcome.line else ''}"
