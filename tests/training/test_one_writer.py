"""One run writes into a folder: a second is told at once who does, and goes on only when the first is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from processes import start, start_two, wait_for
from safetensors.torch import load_file
from tinyrun import flags

from logitmix_hf.cli import main as logitmix
from logitmix_hf.commands.glue import main
from logitmix_hf.lock import LOCK

pytestmark = pytest.mark.slow


@pytest.fixture
def argv(tiny_model, files, tmp_path) -> list[str]:
    return flags(tiny_model, files, tmp_path / "out", max_steps=60, save_strategy="steps", save_steps=2, bootstrap=0)


@pytest.fixture(scope="module")
def whole(tiny_model, files, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(flags(tiny_model, files, folder, max_steps=60, save_strategy="steps", save_steps=2, bootstrap=0)) == 0
    return load_file(folder / "model.safetensors")


def test_after_a_kill_of_two_that_resume_one_goes_on_and_one_is_told(argv, whole, tmp_path):
    folder = tmp_path / "out"
    first = start(argv)
    wait_for(lambda: list(folder.glob("checkpoint-*")), first)
    first.kill()
    first.communicate()
    assert (folder / LOCK).is_file()  # it had no time to give it back
    for path in folder.glob("checkpoint-*"):  # complete or absent
        assert json.loads((path / "trainer_state.json").read_text())["global_step"] == int(path.name.rpartition("-")[2])
        torch.load(path / "optimizer.pt", weights_only=True)
        assert load_file(path / "model.safetensors").keys() == whole.keys()
    both = [start([*argv, "--resume"]) for _ in range(2)]
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in both]
    told, done = sorted(ends, key=lambda end: -end[1])
    assert (told[1], done[1]) == (2, 0), ends
    winner = both[[end[1] for end in ends].index(0)]
    assert told[0].splitlines()[-1].startswith("error: ")
    assert f"process {winner.pid} on host" in told[0]
    assert "Traceback" not in told[0]
    found = load_file(folder / "model.safetensors")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert not list(folder.glob(f"{LOCK}*"))


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Within: another process writes into the folder; its number."""
    holder = start([folder], code="import sys, time\nfrom pathlib import Path\nfrom logitmix_hf.lock import writing\n"
                   "with writing(Path(sys.argv[1])): print('held', flush=True); time.sleep(1000)")  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    yield holder.pid
    assert holder.poll() is None
    holder.kill()
    holder.communicate()


def test_a_run_of_two_processes_ends_in_both_when_the_folder_is_taken(argv, tmp_path):
    (tmp_path / "out").mkdir()
    with held(tmp_path / "out") as holder:
        second = start_two(argv)
        err = "".join(process.communicate(timeout=200)[1] for process in second)
    assert [process.returncode for process in second] == [2, 2]
    assert err.count("error: ") == 1
    assert f"process {holder} on host" in err


def test_nobody_touches_a_folder_that_another_process_writes(argv, tmp_path, capsys):
    folder = tmp_path / "out"
    argv[argv.index("--max_steps") + 1] = "2"
    assert main(argv) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    run = ["glue", *argv]
    with held(folder) as holder:
        for words in ([*run, "--resume"], [*run, "--overwrite"], ["card", folder], ["push", folder]):
            assert logitmix([*map(str, words)]) == 2
            err = capsys.readouterr().err
            assert err.startswith(f"error: The folder '{folder}' is being written by process {holder} on host ")
            assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before
    assert logitmix(["card", str(folder)]) == 0
    assert not list(folder.glob(f"{LOCK}*"))
