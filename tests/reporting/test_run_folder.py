"""The run folder: whose it is, that a crash loses nothing, that no token gets in."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.folder import FORMAT, RunFolder, SaveFailed

RECORD = {"format": FORMAT, "status": "done"}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def finished(tmp_path) -> Path:
    folder = tmp_path / "run"
    for name in ("model.safetensors", "predictions/validation.parquet", "checkpoint-7/state.json", "RTE.tsv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    (folder / "run.json").write_text(json.dumps(RECORD))
    return folder


def test_a_new_folder_is_made_and_known_as_a_run_at_once(tmp_path):
    run = RunFolder(tmp_path / "a" / "b")
    run.claim()
    assert run.holds_run()
    with pytest.raises(UserError, match="--resume"):
        RunFolder(tmp_path / "a" / "b").claim()


def test_another_run_is_refused_untouched(finished):
    before = tree(finished)
    with pytest.raises(UserError, match=r"--resume.*--overwrite"):
        RunFolder(finished).claim()
    assert tree(finished) == before


def test_overwrite_removes_what_a_run_writes_and_nothing_else(finished):
    mine = ("notes.txt", "mine.tsv", "predictions/mine.csv", "other/model.safetensors", "runs/x/config.json")
    for name in mine:
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).write_text("mine")
    RunFolder(finished).claim(overwrite=True)
    left = tree(finished)
    assert left.keys() == {*mine, "run.json"}
    assert all(left[name] == b"mine" for name in mine)
    assert json.loads(left["run.json"])["status"] == "running"


def test_overwrite_follows_no_link_out_of_the_folder(finished, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (finished / "checkpoint-9").symlink_to(outside)
    RunFolder(finished).claim(overwrite=True)
    assert (outside / "precious").exists()


def test_resume_keeps_everything(finished):
    before = tree(finished)
    RunFolder(finished).claim(resume=True)
    assert tree(finished) == before


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("name", ["thesis.tex", "run.json"])
def test_a_folder_of_something_else_is_never_touched(tmp_path, flags, name):
    (tmp_path / name).write_text('{"somebody": "else"}')
    with pytest.raises(UserError, match="holds no run"):
        RunFolder(tmp_path).claim(**flags)
    assert tree(tmp_path) == {name: b'{"somebody": "else"}'}


def test_places_where_no_run_can_be(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        RunFolder(tmp_path / "file").claim()
    with pytest.raises(UserError, match="is a file"):
        RunFolder(tmp_path / "file" / "run").claim()
    with pytest.raises(UserError, match="nothing to resume"):
        RunFolder(tmp_path / "new").claim(resume=True)
    with pytest.raises(UserError, match="contradict"):
        RunFolder(tmp_path / "new").claim(resume=True, overwrite=True)

    def refused(**_: object):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
        RunFolder(tmp_path / "new").claim()
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc on this system")
def test_a_place_that_rights_allow_and_the_file_system_does_not():
    """The superuser may write everywhere, by its rights; /proc takes no file from anybody."""
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder("/proc/run").check()


def test_json_holds_plain_finite_values_and_no_token(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-secret-token")
    run = RunFolder(tmp_path)
    run.write_json(
        "run.json",
        {
            "accuracy": np.float32(0.5),
            "count": np.int64(3),
            "nan": math.nan,
            "inf": np.float64("inf"),
            "flag": np.bool_(True),
            "rows": (np.arange(2), Path("a/b")),
            "arguments": {"hub_token": "x", "token": "y", "HF_TOKEN": "z", "tokenizer_name": "t", "num_tokens": 4},
            "error": "401 for my-secret-token and hf_abcdefghijklmnopqrstuvwxyz",
        },
    )
    assert run.read_json("run.json") == {
        "accuracy": 0.5,
        "count": 3,
        "nan": None,
        "inf": None,
        "flag": True,
        "rows": [[0, 1], "a/b"],
        "arguments": {"tokenizer_name": "t", "num_tokens": 4},
        "error": "401 for *** and ***",
    }
    run.write_text("README.md", "my-secret-token")
    assert (tmp_path / "README.md").read_text() == "***"


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.write_json("run.json", {"a": 1})

    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        run.write_json("run.json", {"a": 2})
    assert tree(tmp_path) == {"run.json": b'{\n  "a": 1\n}\n'}


def test_reading_what_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no eval_results\.json"):
        RunFolder(tmp_path).read_json("eval_results.json")
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(UserError, match="cannot be read"):
        RunFolder(tmp_path).read_json("run.json")


def test_update_record_changes_only_what_is_named(tmp_path):
    run = RunFolder(tmp_path)
    run.claim()
    run.update_record(seconds=1.5)
    run.update_record(status="done")
    assert run.read_json("run.json") == {**RECORD, "seconds": 1.5}


class Killed(BaseException):
    """Stands for SIGKILL: nothing may run after it, so clean-up code is made to fail too."""


FILES = ("config.json", "model.safetensors", "tokenizer.json")


def save_version(version: str):
    def save(folder: str) -> None:
        for name in FILES:
            (Path(folder) / name).write_text(f"{name} {version}")

    return save


@pytest.mark.parametrize("step", range(12))
def test_killed_at_any_moment_of_saving_the_model_is_whole_the_old_or_the_new(tmp_path, monkeypatch, step):
    """Kill at every call that changes the folder's names; what the next start sees is one version, entire."""
    import shutil

    run = RunFolder(tmp_path)
    run.claim()
    run.save_model(save_version("old"))
    calls = 0
    replace, rmtree = os.replace, shutil.rmtree

    def deadly(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls > step:  # dead processes do nothing more
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", deadly(replace))
        patch.setattr(shutil, "rmtree", deadly(rmtree))
        try:
            run.save_model(save_version("new"))
            survived = True
        except Killed:
            survived = False
    RunFolder(tmp_path).claim(resume=True)
    found = {name: (tmp_path / name).read_text().split()[1] for name in FILES}
    assert len(set(found.values())) == 1
    assert set(tree(tmp_path)) == {*FILES, "run.json"}
    if survived:
        assert set(found.values()) == {"new"}
    if step == 0:
        assert set(found.values()) == {"old"}


def test_a_disk_that_is_full_keeps_the_last_good_model_and_says_so(tmp_path):
    run = RunFolder(tmp_path)
    run.save_model(save_version("old"))
    before = tree(tmp_path)

    def save(folder: str) -> None:
        save_version("new")(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(SaveFailed, match=r"No space left on device.*untouched"):
        run.save_model(save)
    assert tree(tmp_path) == before
