"""A run from Python is the run of the command."""

from __future__ import annotations

import json

import pytest
from tinyrun import flags

from logitmix_hf import UserError, fine_tune
from logitmix_hf.cli import main as logitmix


def keywords(words: list[str]) -> dict[str, str]:
    return {name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}


def test_it_writes_what_the_command_writes(tiny_model, files, tmp_path, capsys):
    assert logitmix(["glue", *flags(tiny_model, files, tmp_path / "a", method="logitmix")]) == 0
    run = fine_tune(**keywords(flags(tiny_model, files, tmp_path / "b", method="logitmix")))
    first = json.loads((tmp_path / "a" / "eval_results.json").read_text())
    same = [name for name in first if "runtime" not in name and "per_second" not in name]
    assert {name: run.scores[name] for name in same} == {name: first[name] for name in same}
    assert run.folder == tmp_path / "b"
    assert run.pushed is None
    assert run.record["status"] == "done"
    assert run.classifier.probabilities(["good film"]).sum() == pytest.approx(1)
    assert list(run.predictions().columns[:2]) == ["idx", "label"]
    with pytest.raises(UserError, match="validation"):
        run.predictions("elsewhere")


def test_images(tmp_path):
    run = fine_tune(dataset="digits", model="digits", max_steps=3, use_cpu=True, output_dir=tmp_path / "run")
    assert run.scores["eval_accuracy"] >= 0
    assert run.classifier.modality == "image"


def test_a_mistake_is_an_exception_of_one_line(tmp_path):
    with pytest.raises(UserError, match="Did you mean '--method'"):
        fine_tune(metod="mixup", task="sst2", output_dir=tmp_path / "run")
    with pytest.raises(UserError, match="modality"):
        fine_tune("sound", task="sst2")
    assert not (tmp_path / "run").exists()
