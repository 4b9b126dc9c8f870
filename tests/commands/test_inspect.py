"""``logitmix inspect RUN``."""

import json

import pytest
from cardrun import write_run
from visionrun import flags

from logitmix_hf.cli import main
from logitmix_hf.commands.vision import main as vision


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mimo"
    assert vision(flags(folder, method="mimo", max_steps=2)) == 0
    return folder


def test_numbers_and_picture_of_every_member(run, capsys):
    assert main(["inspect", str(run)]) == 0
    out = capsys.readouterr().out
    found = json.loads((run / "inspect.json").read_text())
    assert len(found["stems"]) == 2
    assert len(found["stems"][0]) == 16
    assert list(found["active"]) == ["0.2", "0.3", "0.4", "0.5"]
    assert sorted(found["active"].values(), reverse=True) == list(found["active"].values())
    assert f"{found['active']['0.4']:.4f} above 0.4" in out
    assert (run / "filters.png").stat().st_size > 10_000


def test_a_run_of_texts_is_told(run, tmp_path, capsys):
    folder = write_run(tmp_path / "texts", config={"model_type": "bert", "num_labels": 2})
    assert main(["inspect", str(folder)]) == 2
    assert "run of texts" in capsys.readouterr().err


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err
    assert main(["inspect"]) == 2
