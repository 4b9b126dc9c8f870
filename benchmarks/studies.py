"""Kill what a study is made of at random moments, and compare what is left with an undisturbed one; what a driver costs.

    python -m benchmarks.studies --kills 20 --seed 0                    # children and drivers of this machine
    python -m benchmarks.studies --kills 20 --engines local ray         # the engine drawn anew for each driver; two nodes
    python -m benchmarks.studies --cells 500                            # CPU seconds and memory, of runs that do nothing

A kill is SIGKILL, at a moment drawn evenly from the time that one run takes, to a training (child), to the worker of Ray
that watches it (wrapper), to a whole node of Ray (raylet), or to ``logitmix study run`` itself (driver). The same command is
given again until all is done. Ends with 1 where a run was lost, or has other weights, or the tables differ.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.driver import Driver
from logitmix_hf.studies.engines.local import Local
from logitmix_hf.studies.file import parse_file
from logitmix_hf.studies.manifest import Cell, Study, read_study
from logitmix_hf.studies.resolve import child_environment

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

STUDY = """
study: kills
command: vision
fixed: {dataset: digits, model: digits, max_train_samples: 400, max_eval_samples: 100, max_steps: 60, logging_steps: 10,
        per_device_train_batch_size: 16, save_strategy: steps, save_steps: 5, save_total_limit: 2, use_cpu: true,
        calibrate_on_eval: true, bootstrap: 0, report_to: none}
grid: {method: [vanilla, logitmix], seed: [1, 2, 3, 4]}
resources: {gpus: 0}
retries: 99
keep: [predictions, card, model]
"""
COSTS = ("seconds", "peak_memory_mb", "examples_per_second")


class Cluster:
    """Two nodes of Ray on this machine, of one core each; the second may be killed and is started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.head = self._node(
            "--head", "--port", self.address.partition(":")[2], "--include-dashboard", "false", "--num-cpus", "1"
        )
        time.sleep(20)
        self.start_other()

    def _node(self, *words: str) -> subprocess.Popen[bytes]:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        quick = {
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "10",
        }
        return subprocess.Popen(
            [*ray, "--object-store-memory", "100000000", *words],
            env={**child_environment(), **quick},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start_other(self) -> None:
        self.other = self._node("--address", self.address, "--num-cpus", "1")

    def kill_other(self) -> None:
        os.killpg(self.other.pid, signal.SIGKILL)
        self.other.wait()
        self.start_other()

    def close(self) -> None:
        for node in (self.other, self.head):
            os.killpg(node.pid, signal.SIGTERM)
        for node in (self.other, self.head):
            node.wait(60)


def driver(home: Path, engine: str, cluster: Cluster | None) -> subprocess.Popen[bytes]:
    """``logitmix study run`` in a folder."""
    words = [sys.executable, "-m", "logitmix_hf.cli", "study", "run", "study.yaml", "--engine", engine]
    words += ["--max_parallel", "2"]
    if engine == "ray" and cluster is not None:
        words += ["--ray_address", cluster.address]
    with open(home / "told.txt", "a") as told:
        return subprocess.Popen(words, cwd=home, env=child_environment(), stdout=told, stderr=told)


def trainings(home: Path) -> list[psutil.Process]:
    """The processes that train a run of the study in this folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if {"--output_dir", "logitmix_hf.cli"} <= set(process.info["cmdline"] or ())
        and process.info["cwd"] == str(home)
    ]


def kill(target: str, at: psutil.Process, of: subprocess.Popen[bytes], cluster: Cluster | None) -> None:
    if target == "raylet" and cluster is not None:
        cluster.kill_other()
    elif target == "driver":
        of.kill()
        of.wait()
    else:
        (at if target == "child" else at.parents()[0]).kill()


def disturbed(
    home: Path, kills: int, seconds: float, draw: random.Random, engines: list[str], cluster: Cluster | None
) -> Counter[str]:
    """Run the study to its end, killing on the way; what was killed."""
    killed = Counter[str]()
    for _ in range(20 * kills):
        engine = draw.choice(engines)
        targets = ["child", "driver", *(["wrapper", "raylet"] if engine == "ray" else [])]
        running, before = driver(home, engine, cluster), killed.total()
        while running.poll() is None:
            if killed.total() == kills:
                running.wait()
                break
            if not trainings(home):
                time.sleep(0.1)
                continue
            time.sleep(draw.uniform(0, seconds))
            live, target = trainings(home), draw.choice(targets)
            if not live or running.poll() is not None:
                continue
            at = draw.choice(live)
            try:
                kill(target, at, running, cluster)
            except psutil.NoSuchProcess:
                continue
            killed[target] += 1
            print(f"{killed.total():3}  {engine}: {target} killed", flush=True)
        if running.returncode == 0:
            return killed
        if killed.total() == before:
            break
    raise RuntimeError(f"the study does not end: {(home / 'told.txt').read_text()[-3000:]}")


def table(home: Path) -> list[list[str]]:
    """The lines of ``table.csv`` but those of what a run cost."""
    words = [sys.executable, "-m", "logitmix_hf.cli", "study", "table", "study.yaml", "--draws", "100"]
    subprocess.run(words, cwd=home, env=child_environment(), check=True, capture_output=True)
    with open(home / "report" / "table.csv", newline="") as file:
        return [line for line in csv.reader(file) if not set(COSTS) & set(line)]


def kills(count: int, seed: int, engines: list[str], work: Path) -> bool:
    """Returns whether every run survived."""
    draw, whole = random.Random(seed), work / "whole"
    whole.mkdir()
    (whole / "study.yaml").write_text(STUDY)
    if driver(whole, "local", None).wait():
        raise RuntimeError((whole / "told.txt").read_text()[-3000:])
    cells = [Path(cell.folder) for cell in _study(whole).cells]
    took = [float(each["seconds"]) for cell in cells for each in ends.read_attempts(whole / cell) if "seconds" in each]
    seconds = sum(took) / len(took)
    print(f"{len(cells)} runs of {seconds:.0f} s, two at a time", flush=True)
    reference, left, lost, killed, rounds = table(whole), count, 0, Counter[str](), 0
    cluster = Cluster() if "ray" in engines else None
    try:
        while left > 0:
            rounds += 1
            home = work / f"killed-{rounds}"
            home.mkdir()
            (home / "study.yaml").write_text(STUDY)
            found = disturbed(home, left, seconds, draw, engines, cluster)
            killed += found
            left = count - killed.total()
            other = [cell.name for cell in cells if not _same(whole / cell, home / cell)]
            lost += len(other)
            same = table(home) == reference
            lost += not same
            print(f"     all done; other weights: {other or 'none'}; the table is {'the same' if same else 'ANOTHER'}")
            shutil.rmtree(home)
    finally:
        if cluster is not None:
            cluster.close()
    what = ", ".join(f"{number} {name}" for name, number in killed.most_common())
    print(f"\n{killed.total()} kills ({what}) in {rounds} studies of {len(cells)} runs; lost: {lost}.")
    return not lost


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one / "model.safetensors", other / "model.safetensors", shallow=False)


def _study(home: Path) -> Study:
    before = Path.cwd()
    os.chdir(home)
    try:
        return read_study("studies/kills")
    finally:
        os.chdir(before)


def cells(count: int, work: Path) -> bool:
    """What a driver and ``study status`` cost for so many runs, which do nothing; returns whether that is little enough."""
    program = work / "nothing.sh"
    program.write_text(
        'while [ "$1" != --output_dir ]; do shift; done\n'
        """echo '{"format": "logitmix_hf run 1", "status": "done"}' > "$2/run.json"\n"""
    )
    seeds = list(range(count))
    file = parse_file(f"study: many\ngrid: {{seed: {seeds}}}\nresources: {{gpus: 0}}\n", "many.yaml")
    folder = work / "studies" / "many"
    runs = [
        Cell(f"{n:012}", {"task": "t", "method": "m", "seed": n}, ["--output_dir", str(place)], place)
        for n in seeds
        for place in [folder / "runs" / f"t-m-s{n}-{n:012}"]
    ]
    study = Study("many", folder, "glue", file.compare, runs, file)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    with open(os.devnull, "w") as nowhere:
        told, sys.stderr = sys.stderr, nowhere
        code = Driver(study, runs, lambda: Local(study, 2, ("/bin/sh", str(program)))).run()
        sys.stderr = told
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"driver of {count} runs: {cpu:.2f} s CPU, {after.ru_maxrss / 1024:.0f} MiB ({time.monotonic() - began:.0f} s)"
    )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "logitmix_hf.cli", "study", "status", str(folder)]
    said = subprocess.run(words, env=child_environment(), check=True, capture_output=True, text=True).stdout
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    status = now.ru_utime + now.ru_stime - children.ru_utime - children.ru_stime
    print(f"status: {status:.2f} s CPU; {said.strip()}")
    return code == 0 and f"{count} of {count}" in said and cpu < 10 and after.ru_maxrss < 200 * 1024 and status < 2


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--engines", nargs="+", choices=["local", "ray"], default=["local"])
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        good = kills(asked.kills, asked.seed, asked.engines, work) if asked.kills else True
        return 0 if (cells(asked.cells, work) if asked.cells else True) and good else 1


if __name__ == "__main__":
    sys.exit(main())
