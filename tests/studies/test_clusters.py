"""Ray and SLURM, as far as one machine shows them: two nodes of which one is killed, and submitit's own executor."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from studyruns import PROGRAM, attempts, fake_study, trained
from visionrun import SHORT

from logitmix_hf.cli import main
from logitmix_hf.studies.driver import Driver
from logitmix_hf.studies.state import state_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
QUICK = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "10",
    "RAY_AUTH_MODE": "token",
}
"""A node that is gone is missed within seconds; and nodes ask for a token, as from Ray 2.60 on they do where one lies."""
RAY = Path(sys.executable).with_name("ray")


def start_node(*words: str, home: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_DISABLE_IMPORT_WARNING": "1", **QUICK}
    command = [sys.executable, str(RAY), "start", "--block", "--num-cpus", "1", "--disable-usage-stats", *words]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(true) -> None:
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.05)


@contextlib.contextmanager
def two_nodes(home: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    memory = ("--object-store-memory", "100000000")
    head = start_node("--head", "--port", str(port), "--include-dashboard", "false", *memory, home=home)
    wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    other = start_node("--address", address, *memory, home=home)
    try:
        yield address, other
    finally:
        for node in (other, head):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
        for node in (other, head):
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_a_node_that_is_lost_loses_no_run(tmp_path, monkeypatch):
    from logitmix_hf.studies.engines.ray import Ray

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)

    study = fake_study(tmp_path, dict.fromkeys("abc", "done"), steps=40, pause=0.15)
    with two_nodes(tmp_path) as (address, other):

        def make():
            engine = Ray(study, 2, PROGRAM, address)
            wait_for(lambda: sum(node["Alive"] for node in engine.ray.nodes()) == 2)
            return engine

        class Killing(Driver):
            killed = False

            def _start_some(self, engine):
                super()._start_some(engine)
                running = [cell for cell in self._running.values() if (cell.folder / "step.txt").exists()]
                if len(running) == 2 and not self.killed:  # one on each node, which has one core
                    self.killed = True
                    os.killpg(other.pid, signal.SIGKILL)

        driver = Killing(study, study.live, make)
        assert driver.run() == 0
        assert driver.killed
    assert {cell.id: state_of(cell, 2).kind for cell in study.live} == dict.fromkeys("abc", "done")
    assert [trained(study, name) for name in "abc"] == [1, 1, 1]
    assert sum(event == "start" for name in "abc" for event, _ in attempts(study, name)) == 4, "one was started again"


def test_what_was_begun_here_and_ends_under_ray_has_the_table_of_an_undisturbed_study(tmp_path, monkeypatch):
    """Real runs: scores to the last digit."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("plotly", reason="the extra `report` is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    values = {**SHORT, "model": "digits", "bootstrap": 0, "learning_rate": 0.05}
    text = f"study: t\ncommand: vision\nfixed: {json.dumps(values)}\ngrid: {{method: [vanilla, mixup], seed: [1]}}\n"
    tables = []
    for name in ("whole", "halved"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("t.yaml").write_text(f"{text}resources: {{gpus: 0}}\n")
        if name == "halved":
            assert main(["study", "run", "t.yaml", "--only", "method=vanilla"]) == 0
            try:
                assert main(["study", "run", "t.yaml", "--engine", "ray"]) == 0
            finally:
                ray.shutdown()
        else:
            assert main(["study", "run", "t.yaml"]) == 0
        assert main(["study", "table", "t.yaml", "--output_dir", "out"]) == 0
        made = Path("out", "table.csv").read_text().splitlines()
        costs = ("seconds", "peak_memory_mb", "examples_per_second")
        tables.append([line for line in made if not set(costs) & set(line.split(","))])
        assert len(tables[-1]) > 10
        starts = [
            path.read_text().count('"event": "start"') for path in Path("studies/t/runs").glob("*/attempts.jsonl")
        ]
        assert starts == [1, 1]
    assert tables[0] == tables[1]


def test_submitit_carries_them_out(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    from logitmix_hf.studies.engines.slurm import Slurm

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    study = fake_study(tmp_path, {"a": "done", "b": "mistake"})
    driver = Driver(study, study.live, lambda: Slurm(study, 2, PROGRAM, cluster="local"))
    assert driver.run() == 0
    assert {cell.id: state_of(cell, 2).kind for cell in study.live} == {"a": "done", "b": "mistake"}


def test_a_job_that_must_go_saves_and_is_queued_again(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    from logitmix_hf.studies.engines.cluster import AttemptTask

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    study = fake_study(tmp_path, {"a": "done"}, steps=30, pause=0.1)
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=60)
    job = executor.submit(AttemptTask(study, study.live[0], None, PROGRAM))
    wait_for((study.live[0].folder / "step.txt").exists)
    lines = (study.live[0].folder / "attempts.jsonl").read_text().splitlines()
    os.kill(json.loads(lines[0])["pid"], signal.SIGUSR2)  # as SLURM does it when the time is nearly up
    assert job.result().kind == "done"
    assert trained(study, "a") == 1
    assert attempts(study, "a") == [("start", "start"), ("end", "preempted"), ("start", "resume"), ("end", "done")]
