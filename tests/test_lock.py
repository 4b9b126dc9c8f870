"""One writer a folder, tried with real processes: whoever lives is told of, whoever is dead is followed by exactly one."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.lock import LOCK, check_free, writing

HOLD = """
import sys, time
from pathlib import Path
from logitmix_hf import lock
{setup}
with lock.writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
ROOT = Path(__file__).parents[1]


class Process:
    """A process that holds the lock of a folder until it is told to let go."""

    def __init__(self, folder: Path, setup: str = "") -> None:
        code = HOLD.format(setup=setup)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", code, str(folder)], text=True, cwd=ROOT, **pipes)
        assert self.process.stdout is not None
        self.held = self.process.stdout.readline() == "held\n"

    def lets_go(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0


def change(folder: Path, **values: object) -> None:
    lock = folder / LOCK
    lock.write_text(json.dumps({**json.loads(lock.read_text()), **values}))


def silent_for(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / LOCK, (then, then))


def is_refused(folder: Path) -> bool:
    try:
        with writing(folder):
            return False
    except UserError:
        return True


@pytest.fixture
def killed(tmp_path) -> Path:
    """A folder whose writer was killed; nobody has asked yet how it ended, so its number is still taken."""
    holder = Process(tmp_path)
    holder.process.kill()
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)
    return tmp_path


@pytest.mark.slow
def test_a_second_writer_is_told_who_the_first_is_and_may_follow_it(tmp_path):
    before = time.time() - 1
    holder = Process(tmp_path)
    for ask in (check_free, lambda folder: writing(folder).__enter__()):
        with pytest.raises(UserError) as refusal:
            ask(tmp_path)
        said = str(refusal.value)
        assert f"process {holder.process.pid} on host {socket.gethostname()} since 2" in said
        since = re.search(r"since (\S+):", said)
        assert since is not None
        assert before <= datetime.fromisoformat(since[1]).timestamp() <= time.time()
        assert f"kill {holder.process.pid}" in said
        assert str(tmp_path) in said
        assert "\n" not in said
    holder.lets_go()
    assert list(tmp_path.iterdir()) == []
    check_free(tmp_path)
    assert not is_refused(tmp_path)


@pytest.mark.slow
def test_whoever_was_killed_is_followed_at_once(killed):
    check_free(killed)
    with writing(killed):
        assert json.loads((killed / LOCK).read_text())["pid"] == os.getpid()
    assert list(killed.iterdir()) == []


@pytest.mark.slow
def test_another_process_with_the_number_of_the_dead_one_is_not_taken_for_it(tmp_path):
    holder = Process(tmp_path)
    assert is_refused(tmp_path)
    change(tmp_path, started="1")  # the number lives, but began at another time
    assert not is_refused(tmp_path)
    holder.process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "refused"), [(0, True), (100, True), (400, False)])
def test_of_another_machine_only_the_last_sign_of_life_counts(killed, seconds, refused):
    change(killed, host="elsewhere\x1b[2J", place="another boot", pid=1)
    silent_for(killed, seconds)
    if refused:
        with pytest.raises(UserError, match=r"process 1 on host elsewhere\\x1b\[2J .*silent for 3 minutes"):
            check_free(killed)
    assert is_refused(killed) == refused


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": []}', b"\xff", b'{"pid": 1e999}', b"[" * 100_000])
def test_a_damaged_lock_counts_until_it_is_old(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    assert is_refused(tmp_path)
    silent_for(tmp_path, 400)
    assert not is_refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pid", [0, -1, 2**70])
def test_a_number_that_no_process_can_have_is_dead(tmp_path, pid):
    with writing(tmp_path):
        text = (tmp_path / LOCK).read_text()
    (tmp_path / LOCK).write_text(text)
    change(tmp_path, pid=pid)
    assert not is_refused(tmp_path)


RACE = """
import json, multiprocessing, os, sys
from pathlib import Path
from logitmix_hf import lock
from logitmix_hf.errors import UserError
{setup}
def race(barrier, results, number, folders):
    for folder in folders:
        barrier.wait()
        try:
            with lock.writing(folder):
                results.put((folder.name, number))
                barrier.wait()
        except UserError:
            barrier.wait()

fork = multiprocessing.get_context("fork")
folders = [Path(sys.argv[1], str(n)) for n in range(int(sys.argv[3]))]
barrier, results = fork.Barrier(4), fork.Queue()
racers = [fork.Process(target=race, args=(barrier, results, n, folders)) for n in range(4)]
for racer in racers: racer.start()
won = [results.get(timeout=60) for _ in folders]
for racer in racers: racer.join(60)
while not results.empty(): won.append(results.get())
Path(sys.argv[2]).write_text(json.dumps(won))
"""
NO_LINKS = """
def refused(*args): raise PermissionError(1, "no links here")
os.link = refused
"""


@pytest.mark.slow
@pytest.mark.parametrize("setup", ["", NO_LINKS], ids=["links", "no links"])
@pytest.mark.parametrize("dead", [False, True], ids=["free", "dead"])
def test_of_four_that_come_in_the_same_moment_one_wins(tmp_path, killed, dead, setup):
    rounds, text = 60, (killed / LOCK).read_text()
    (killed / LOCK).unlink()
    for number in range(rounds):
        (tmp_path / "runs" / str(number)).mkdir(parents=True)
        if dead:
            (tmp_path / "runs" / str(number) / LOCK).write_text(text)
    out = tmp_path / "won.json"
    command = [sys.executable, "-c", RACE.format(setup=setup), str(tmp_path / "runs"), str(out), str(rounds)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    won = json.loads(out.read_text())
    assert sorted(int(name) for name, _ in won) == list(range(rounds))
    assert all(list((tmp_path / "runs" / str(number)).iterdir()) == [] for number in range(rounds))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["os.replace", "os.link"])
def test_whoever_is_killed_while_taking_over_is_followed_too(killed, where):
    """At the moment when the dead lock is about to be replaced, and at that when the right to do so is made."""
    at = "lambda *a: os.kill(os.getpid(), 9)"
    if where == "os.link":
        at = "lambda a, b, link=os.link: link(a, b) or (str(b).endswith('.lock') or os.kill(os.getpid(), 9))"
    assert not Process(killed, f"import os; {where} = {at}").held
    assert not is_refused(killed)
    assert [path for path in killed.iterdir() if not path.name.startswith(f"{LOCK}-")] == []


@pytest.mark.slow
def test_the_holder_gives_signs_of_life_and_ends_when_somebody_took_over(tmp_path):
    holder = Process(tmp_path, "lock.BEAT = 0.05")
    silent_for(tmp_path, 1000)
    until = time.monotonic() + 30
    while time.time() - (tmp_path / LOCK).stat().st_mtime > 500:
        assert time.monotonic() < until
        time.sleep(0.02)
    change(tmp_path, token="another", host="elsewhere")
    assert holder.process.wait(timeout=30) == 1
    assert holder.process.stderr is not None
    assert "on host elsewhere" in holder.process.stderr.read()
    assert json.loads((tmp_path / LOCK).read_text())["token"] == "another"  # what is another's stays
