"""Every row of the table of failures, provoked: how a run ends, and what the study does about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from studyruns import PROGRAM, attempts, drive, fake_study, trained

from logitmix_hf.errors import UserError
from logitmix_hf.studies.attempt import claim_folder
from logitmix_hf.studies.state import state_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def kinds(study):
    return {cell.id: state_of(cell, study.file.retries).kind for cell in study.live}


def test_all_are_done_and_the_second_time_nothing_starts(tmp_path):
    study = fake_study(tmp_path, {"a": "done", "b": "done", "c": "push"})
    assert drive(study, 2).run() == 0
    before = {cell.id: attempts(study, cell.id) for cell in study.live}
    assert before["a"] == [("start", "start"), ("end", "done")]
    assert kinds(study) == dict.fromkeys("abc", "done")
    assert state_of(study.live[2], 2).push_failed
    drive(study)
    assert before == {cell.id: attempts(study, cell.id) for cell in study.live}


@pytest.mark.parametrize(
    ("fate", "tried", "end"),
    [
        ("killed-once", ["killed", "done"], "done"),
        ("preempted-once", ["preempted", "done"], "done"),
        ("failed-once", ["failed", "done"], "done"),
        ("failed", ["failed", "done"], "done"),  # it goes on after the step at which it failed
        ("diverged", ["diverged"], "diverged"),
        ("mistake", ["mistake"], "mistake"),
    ],
)
def test_how_a_run_ends_says_whether_it_is_tried_again(tmp_path, fate, tried, end):
    study = fake_study(tmp_path, {"a": fate})
    drive(study)
    assert [what for event, what in attempts(study, "a") if event == "end"] == tried
    assert kinds(study) == {"a": end}
    if len(tried) > 1:
        assert ("start", "resume") in attempts(study, "a")


def test_one_that_was_given_up_is_left_alone_until_it_is_asked_for(tmp_path):
    study = fake_study(tmp_path, {"a": "diverged-once"})
    drive(study)
    drive(study)
    assert attempts(study, "a") == [("start", "start"), ("end", "diverged")]
    assert "the loss is nan" in state_of(study.live[0], 2).line
    drive(study, retry_failed=True)
    assert attempts(study, "a")[-2:] == [("start", "overwrite"), ("end", "done")]


def test_a_full_disk_pauses_the_study(tmp_path):
    study = fake_study(tmp_path, {"a": "disk-once", "b": "done"})
    driver = drive(study)
    assert "the disk is full" in driver.pause
    assert "MB are free" in driver.pause
    assert kinds(study) == {"a": "waiting", "b": "waiting"}
    assert drive(study).pause == ""
    assert kinds(study) == {"a": "done", "b": "done"}


def test_a_host_that_always_fails_costs_three_attempts(tmp_path):
    study = fake_study(tmp_path, dict.fromkeys("abcdefgh", "mistake"))
    driver = drive(study)
    started = [cell.id for cell in study.live if (cell.folder / "attempts.jsonl").exists()]
    assert started == ["a", "b", "c"]
    assert "take 32" in driver.pause


def test_what_cannot_be_read_is_moved_aside(tmp_path):
    study = fake_study(tmp_path, {"a": "done"})
    folder = study.live[0].folder
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"format": "logitm')
    (folder / "mine.txt").write_text("keep")
    drive(study)
    assert kinds(study) == {"a": "done"}
    assert (folder.with_name("a.broken-1") / "mine.txt").read_text() == "keep"


def test_weights_go_when_a_run_is_done_and_predictions_stay(tmp_path):
    study = fake_study(tmp_path, {"a": "done"})
    folder = study.live[0].folder
    drive(study)
    (folder / "model.safetensors").write_text("w")
    (folder / "predictions").mkdir()
    (folder / "predictions" / "validation.parquet").write_text("p")
    from logitmix_hf.studies.attempt import Attempt

    attempt = Attempt(study.live[0], "glue", program=PROGRAM)
    attempt.start()
    assert attempt.wait().kind == "done"
    assert not (folder / "model.safetensors").exists()
    assert (folder / "predictions" / "validation.parquet").exists()


DRIVE = """
    import sys
    from pathlib import Path
    from studyruns import drive, fake_study
    names = sys.argv[2].split(",")
    study = fake_study(Path(sys.argv[1]), dict.fromkeys(names, "done"), steps=20, pause=0.05)
    sys.exit(drive(study, 2).signals != [] and 143)
"""


def start_driver(home: Path, names: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVE), str(home), names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_ended_takes_its_children_with_it_and_the_next_goes_on(tmp_path, number):
    study = fake_study(tmp_path, dict.fromkeys("ab", "done"), steps=20, pause=0.05)
    driver = start_driver(tmp_path, "a,b")
    wait_for(lambda: all((cell.folder / "step.txt").exists() for cell in study.live))
    with pytest.raises(UserError, match=rf"written by process {driver.pid} on host"):
        drive(study)
    driver.send_signal(number)
    driver.wait(30)
    wait_for(lambda: all("interrupted" in (cell.folder / "run.json").read_text() for cell in study.live))
    steps = {cell.id: int((cell.folder / "step.txt").read_text()) for cell in study.live}
    assert max(steps.values()) < 20
    drive(study, 2)
    assert {cell.id: trained(study, cell.id) for cell in study.live} == {"a": 1, "b": 1}
    assert attempts(study, "a")[-2:] == [("start", "resume"), ("end", "done")]


def test_a_run_that_somebody_holds_is_asked_for_again(tmp_path, monkeypatch):
    from logitmix_hf.lock import writing
    from logitmix_hf.studies import driver as module

    monkeypatch.setattr(module, "BUSY_AGAIN", 0.2)
    study = fake_study(tmp_path, {"a": "done", "b": "done"})
    claim = claim_folder(study.live[0])
    claim.mkdir(parents=True)
    code = "import sys, time; from pathlib import Path; from logitmix_hf.lock import writing\n"
    code += "with writing(Path(sys.argv[1])): print(flush=True); time.sleep(1)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(claim)], stdout=subprocess.PIPE, cwd=ROOT)
    holder.stdout.readline()
    drive(study)
    assert kinds(study) == {"a": "done", "b": "done"}
    assert trained(study, "a") == 1
    holder.wait()
    with writing(claim):
        pass


def test_what_fails_again_and_again_is_given_up():
    from logitmix_hf.studies.outcome import given_up

    def end(kind, step=0):
        return {"event": "end", "kind": kind, "step": step, "line": kind}

    assert given_up([end("failed")], 2) is None
    assert given_up([end("failed"), end("failed")], 2) == ("failed", "failed")
    assert given_up([end("failed"), end("failed"), {"event": "again"}], 2) is None
    assert given_up([end("killed", 4)] * 2, 2) is None
    assert given_up([end("killed", 4)] * 3, 2) == ("killed", "killed")
    assert given_up([end("killed", 4), end("killed", 8), end("killed", 12)], 2) is None, "each went further"
    assert given_up([end("stopped")] * 9, 2) is None
