"""Where `predict` and `export` write, and what is there when they end before their time."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path

import pytest
from servingmodels import text_classifier

from logitmix_hf.cli import main
from logitmix_hf.disk import write_atomic
from logitmix_hf.serving import predict


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory) -> Path:
    return text_classifier(tmp_path_factory.mktemp("classifier"), tiny_model)


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "rows.txt"
    path.write_text("good film\nbad film\n" * 40)
    return path


def words(folder: Path, table: Path, *more: object) -> list[str]:
    return ["predict", "--device", "cpu", "--model", str(folder), "--input", str(table), *map(str, more)]


def test_places_that_cannot_be_written_are_told_before_the_model_is_loaded(
    folder, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        "logitmix_hf.serving.classifier.FoundClassifier.load", lambda *_: pytest.fail("the model was loaded")
    )
    places = [table / "out.csv", table / "deeper" / "out.csv", tmp_path / ("x" * 300) / "out.csv"]
    places += [Path("/proc/nowhere/out.csv")] if Path("/proc/self").is_dir() else []
    for place in places:
        assert main(words(folder, table, "--output", place)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot be written" in line
        assert main(["export", str(folder), "--output", str(place.parent / "onnx")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot be written" in line


def test_folders_are_made(folder, table, tmp_path):
    assert main(words(folder, table, "--output", tmp_path / "new" / "deeper" / "out.csv")) == 0
    assert [path.name for path in (tmp_path / "new" / "deeper").iterdir()] == ["out.csv"]


def test_what_is_no_file_is_not_replaced(folder, table, tmp_path, capsys):
    """A pipe with a name, or /dev/stdout, would be gone for everybody else."""
    os.mkfifo(tmp_path / "pipe.csv")
    assert main(words(folder, table, "--output", tmp_path / "pipe.csv", "--overwrite")) == 2
    assert "is no file; leave --output out" in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real").write_text("old")
    (tmp_path / "link").symlink_to(Path("far") / "real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "real").read_text() == "new"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real"]


def test_a_termination_leaves_nothing(folder, table, tmp_path, monkeypatch):
    """As `timeout` and the schedulers of clusters end a program; afterwards the signal means what it meant before."""
    before, real = signal.getsignal(signal.SIGTERM), predict.answer_rows

    def ended(*arguments):
        yield next(real(*arguments))
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was not heard")

    monkeypatch.setattr(predict, "answer_rows", ended)
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as end:
        main(words(folder, table, "--output", tmp_path / "out" / "out.csv", "--batch_size", 1))
    assert end.value.code == 128 + signal.SIGTERM
    assert not list((tmp_path / "out").iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("output", ["out.csv", "out.parquet", None])
def test_a_full_disk_is_told_in_one_line(folder, table, tmp_path, capsys, monkeypatch, output):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    monkeypatch.setattr(predict, "answer_rows", full)
    (tmp_path / "out").mkdir()
    more = [] if output is None else ["--output", tmp_path / "out" / output]
    assert main(words(folder, table, *more)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{output or 'standard output'}" in line
    assert "cannot be written further (No space left on device)" in line
    assert not list((tmp_path / "out").iterdir())
