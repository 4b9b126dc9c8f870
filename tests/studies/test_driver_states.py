"""Whatever befalls a study, in any order, each of its runs is carried to its end once, by one process at a time."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from studyruns import attempts, drive, fake_study, trained

from logitmix_hf.errors import UserError
from logitmix_hf.studies import driver as module
from logitmix_hf.studies.attempt import claim_folder
from logitmix_hf.studies.manifest import merged, read_manifest
from logitmix_hf.studies.state import state_of

pytestmark = pytest.mark.slow
NAMES = "abcd"
REFUSED = 9


def holder(folder):
    """The process that a lock names; 0 for none."""
    try:
        return json.loads((folder / ".lock").read_text())["pid"]
    except (OSError, ValueError):
        return 0


class AnyStudy(RuleBasedStateMachine):
    """Drivers are processes of their own, forked from this one; the runs are processes of theirs."""

    def __init__(self):
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.study = fake_study(
            Path(self.place.name), {"a": "killed-once", "b": "done"}, retries=50, pause=0.02, hold=True
        )
        self.drivers = []

    def fork(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork where other tests left threads
            pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            code = 128 if drive(self.study, 2).signals else 0
        except UserError:
            code = REFUSED
        finally:
            os._exit(code)

    def alive(self):
        self.drivers = [pid for pid in self.drivers if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        return self.drivers

    def until(self, there):
        while self.alive() and not there():
            time.sleep(0.005)

    def works(self, pid):
        return any(holder(claim_folder(cell)) == pid for cell in self.study.live)

    @rule()
    def start(self):
        if not self.alive():
            self.drivers.append(pid := self.fork())
            self.until(lambda: self.works(pid))

    @precondition(lambda self: self.alive())
    @rule()
    def begin_a_second_driver(self):
        (first,) = self.drivers
        os.kill(first, signal.SIGSTOP)  # so that it is not through before the second one looks
        try:
            os.waitpid(first, os.WUNTRACED)
            if self.works(first):
                second, until = self.fork(), time.monotonic() + 30
                while (ended := os.waitpid(second, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
                    time.sleep(0.01)
                if ended == (0, 0):
                    os.kill(second, signal.SIGKILL)  # it waits for a run of the first one
                    os.waitpid(second, 0)
                assert ended == (second, REFUSED << 8)
        finally:
            os.kill(first, signal.SIGCONT)

    @precondition(lambda self: self.alive())
    @rule(number=st.sampled_from([signal.SIGKILL, signal.SIGTERM]), after=st.floats(0, 0.15))
    def end_the_driver(self, number, after):
        time.sleep(after)
        for pid in self.alive():
            os.kill(pid, number)
            os.waitpid(pid, 0)
        self.drivers = []

    @precondition(lambda self: self.alive())
    @rule(after=st.floats(0, 0.1))
    def kill_a_run(self, after):
        self.until(lambda: any(holder(cell.folder) for cell in self.study.live))
        time.sleep(after)
        for pid in filter(None, [holder(cell.folder) for cell in self.study.live]):
            with suppress(OSError):
                if b"studychild" in Path(f"/proc/{pid}/cmdline").read_bytes():  # and not one that got its number since
                    os.kill(pid, signal.SIGKILL)
                    return

    @precondition(lambda self: not self.alive())
    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1))
    def edit_the_file(self, names):
        new = fake_study(Path(self.place.name), dict.fromkeys(sorted(names), "done"), retries=50, pause=0.02, hold=True)
        self.study = replace(new, cells=merged(self.study.cells, new.cells))

    @invariant()
    def nothing_is_trained_twice(self):
        assert all(trained(self.study, cell.id) <= 1 for cell in self.study.cells)

    def teardown(self):
        try:
            for pid in self.alive():
                os.waitpid(pid, 0)
            self.drivers = []
            for _ in range(4):  # a host that saw three kills in a row gets no more until the command is given again
                if drive(self.study, 2).pause == "":
                    break
            assert [state_of(cell, 50).kind for cell in self.study.live] == ["done"] * len(self.study.live)
            assert [trained(self.study, cell.id) for cell in self.study.live] == [1] * len(self.study.live)
            self.nothing_is_trained_twice()
            told = read_manifest(self.study.folder)
            assert {(cell.id, cell.dropped) for cell in told.cells} == {(c.id, c.dropped) for c in self.study.cells}
            before = {cell.id: attempts(self.study, cell.id) for cell in self.study.live}
            drive(self.study)
            assert before == {cell.id: attempts(self.study, cell.id) for cell in self.study.live}
        finally:
            for pid in self.drivers:
                os.kill(pid, signal.SIGKILL)
            self.place.cleanup()


def test_each_run_is_done_once_whatever_happens(monkeypatch):
    monkeypatch.setattr(module, "BUSY_AGAIN", 0.05)
    run_state_machine_as_test(
        AnyStudy,
        settings=settings(
            max_examples=5,
            stateful_step_count=7,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            database=None,
        ),
    )
