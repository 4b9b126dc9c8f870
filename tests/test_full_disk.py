"""A disk that is really full, a small one in memory: one line that says so, no traceback, and nothing half written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tinyrun import flags
from visionrun import flags as image_flags

from logitmix_hf.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only who may mount can make a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))


@pytest.fixture(scope="module")
def run(tiny_model, files, tmp_path_factory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["glue", *flags(tiny_model, files, folder, max_steps=2, bootstrap=0, method="vanilla")]) == 0
    return folder


def told(capsys) -> str:
    """The last line of stderr; no traceback stands above it."""
    err = capsys.readouterr().err
    assert "Traceback" not in err, err[-3000:]
    return err.strip().splitlines()[-1]


@pytest.mark.parametrize("saving", ["no", "epoch"])
def test_training_on_texts(tiny_model, files, disk, capsys, saving):
    argv = flags(tiny_model, files, disk / "out", save_strategy=saving, max_steps=2, bootstrap=0)
    assert main(["glue", *argv]) == 1
    line = told(capsys)
    assert line.startswith("error: ")
    assert "could not be saved" in line
    assert ("--resume" in line) == (saving == "epoch")


def test_training_on_images(disk, capsys):
    assert main(["vision", *image_flags(disk / "out", max_steps=2, bootstrap=0)]) == 1
    assert "could not be saved" in told(capsys)


def test_calibrating(run, files, disk, capsys):
    argv = [
        "--model",
        run,
        "--validation_file",
        files / "validation.csv",
        "--label_column",
        "stars",
        "--use_cpu",
        "true",
    ]
    assert (
        main(["calibrate", *map(str, argv), "--save", "true", "--bootstrap", "0", "--output_dir", str(disk / "out")])
        == 1
    )
    assert told(capsys).startswith("error: ")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_predicting(run, disk, tmp_path, capsys, kind):
    (tmp_path / "rows.txt").write_text("good film\n" * 20_000)
    output = disk / f"out.{kind}"
    (disk / "ballast").write_bytes(bytes(60_000))
    assert main(["predict", "--model", str(run), "--input", str(tmp_path / "rows.txt"), "--output", str(output)]) == 2
    assert "No space left on device" in told(capsys)
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_exporting(run, disk, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--output", str(disk / "onnx")]) == 2
    assert "o space left on device" in told(capsys)


def test_reporting(run, disk, capsys):
    (disk / "ballast").write_bytes(bytes(60_000))
    assert main(["report", str(run), "--output_dir", str(disk / "report"), "--bootstrap", "0"]) == 1
    assert "No space left on device" in told(capsys)


def test_writing_a_card(run, disk, capsys):
    for name in ("run.json", "eval_results.json", "config.json"):
        (disk / "run").mkdir(exist_ok=True)
        shutil.copy(run / name, disk / "run" / name)
    fill(disk)
    assert main(["card", str(disk / "run")]) in (1, 2)  # 2: not even the lock can be written
    line = told(capsys)
    assert line.startswith("error: ")
    assert "No space left on device" in line
