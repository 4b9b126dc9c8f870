"""A run goes on as it began, or ends in one line: rows, processes and checkpoints that are others now, or not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tinyrun import flags

from logitmix_hf.commands.glue import main


@pytest.fixture(scope="module")
def stopped(tiny_model, files, tmp_path_factory) -> tuple[list[str], Path]:
    """The words of a run, and its folder as it was after the first of two epochs; its rows are its own to change."""
    home = tmp_path_factory.mktemp("going_on")
    for name in ("train.csv", "validation.csv"):
        shutil.copy(files / name, home / name)
    changes = {"method": "vanilla", "num_train_epochs": 2, "save_total_limit": 3, "bootstrap": 0}
    argv = [*flags(tiny_model, home, home / "out", **changes), "--keep_checkpoints"]
    assert main(argv) == 0
    return [*argv, "--resume"], home / "out"


@pytest.fixture
def folder(stopped, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(stopped[1], tmp_path / "out"))


def going_on(stopped, folder: Path, capfd) -> str:
    """The one line in which it ends."""
    capfd.readouterr()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([*stopped[0], "--output_dir", str(folder)]) == 2
    (told,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return told


def last_of(folder: Path) -> Path:
    return max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))


def test_a_record_without_arguments(stopped, folder, capfd):
    """What cannot be compared may be another run."""
    record = json.loads((folder / "run.json").read_text())
    for kept in ({}, {"arguments": {}, "status": "interrupted"}, {"arguments": None}):
        (folder / "run.json").write_text(
            json.dumps({**{key: record[key] for key in record if key != "arguments"}, **kept})
        )
        told = going_on(stopped, folder, capfd)
        assert "run.json' holds none" in told
        assert "--overwrite" in told


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json", "model.safetensors", "config.json"]
)
def test_a_damaged_file(stopped, folder, capfd, name):
    place = last_of(folder) / name
    content = place.read_bytes()
    others = (b"[]", b'{"global_step": "six"}', b'{"unknown": 1}') if name == "trainer_state.json" else ()
    for damaged in (content[: len(content) // 2], b"", b"\0" * 64, *others):
        place.write_bytes(damaged)
        told = going_on(stopped, folder, capfd)
        assert f"{place} is damaged" in told
        assert "--overwrite" in told


def test_a_checkpoint_that_lacks_what_training_goes_on_from(stopped, folder, capfd):
    last = last_of(folder)
    for name in ("trainer_state.json", "model.safetensors"):
        (last / name).rename(folder / "aside")
        told = going_on(stopped, folder, capfd)
        assert f"{last} has no {name}" in told or f"{last} has no weights ({name})" in told
        (folder / "aside").rename(last / name)
    (last / "model.safetensors").rename(last / "model-00001-of-00002.safetensors")
    shards = {"one": "model-00001-of-00002.safetensors", "two": "model-00002-of-00002.safetensors"}
    (last / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    assert "has no model-00002-of-00002.safetensors" in going_on(stopped, folder, capfd)
    (folder / "checkpoint-900").mkdir()
    assert "checkpoint-900 has no trainer_state.json" in going_on(stopped, folder, capfd)


def test_an_optimizer_that_begins_anew_is_told(stopped, folder, capfd):
    (last_of(folder) / "optimizer.pt").unlink()
    assert main([*stopped[0], "--output_dir", str(folder)]) == 0
    told = capfd.readouterr().err
    assert "has no optimizer.pt: the optimizer and the learning rate's schedule begin anew" in told


@pytest.mark.parametrize("name", ["train.csv", "validation.csv"])
def test_rows_that_are_others_now(stopped, folder, capfd, name):
    place = stopped[1].parent / name
    content = place.read_text()
    head, *lines = content.splitlines()
    relabelled = lines[0].replace("down", "up") if "down" in lines[0] else lines[0].replace("up", "down")
    others = [[*reversed(lines)], lines[:-1], [relabelled, *lines[1:]]]
    try:
        for other in others:
            place.write_text("\n".join([head, *other]) + "\n")
            assert "needs the rows that the run began with, and a split of 'train'" in going_on(stopped, folder, capfd)
    finally:
        place.write_text(content)


def test_another_number_of_processes(stopped, folder, capfd):
    record = json.loads((folder / "run.json").read_text())
    record["environment"]["processes"] = 4
    (folder / "run.json").write_text(json.dumps(record))
    told = going_on(stopped, folder, capfd)
    assert "as many processes as the run began with, 4, and there are 1 now" in told


def test_a_record_that_is_none(stopped, folder, capfd):
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "arguments": [1]}))
    assert "has no object under 'arguments'" in going_on(stopped, folder, capfd)
