"""``logitmix export --format plain``: the same answers from a network without members."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

from logitmix_hf.cli import main
from logitmix_hf.models.folding import fold
from logitmix_hf.vision.networks import build_network, image_processor


def saved(folder, **config):
    torch.manual_seed(0)
    network = build_network("digits", 4, 8, 1, id2label={k: f"c{k}" for k in range(4)}, **config)
    fold(network, 1.7)
    network.save_pretrained(folder)
    image_processor(8, (0.5,), (0.5,), channels=1).save_pretrained(folder)
    return folder


def test_the_folder_loads_as_a_plain_network_with_the_same_logits(tmp_path, capsys):
    run = saved(tmp_path / "run", members=2)
    assert main(["export", str(run), "--format", "plain"]) == 0
    out = capsys.readouterr().out
    assert "2 members" in out
    model = AutoModelForImageClassification.from_pretrained(run)
    plain = AutoModelForImageClassification.from_pretrained(run / "plain")
    assert plain.config.members == 1
    assert plain.config.logitmix == model.config.logitmix
    assert plain.config.id2label == model.config.id2label
    assert not any("members" in name for name, _ in plain.named_parameters())
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(images).logits, model.eval()(images).logits, atol=1e-5, rtol=1e-5)
    assert AutoImageProcessor.from_pretrained(run / "plain").crop_size["height"] == 8


@pytest.mark.parametrize(
    ("config", "words", "argv"),
    [
        ({}, ["one member", "cut_mixmo"], []),
        ({"members": 2, "ensemble_average": "probs"}, ["probs", "averaged logits"], []),
        ({"members": 2}, ["--opset 20", "leave it out"], ["--opset", "20"]),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, capfd, config, words, argv):
    run = saved(tmp_path / "run", **config)
    before = sorted(path.name for path in run.iterdir())
    assert main(["export", str(run), "--format", "plain", *argv]) == 2
    err = capfd.readouterr().err
    assert [line for line in err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert sorted(path.name for path in run.iterdir()) == before


def test_what_is_there_is_not_overwritten_unasked(tmp_path, capfd):
    run = saved(tmp_path / "run", members=2)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    assert main(["export", str(run), "--format", "plain", "--output", str(other)]) == 2
    assert (other / "mine.txt").read_text() == "mine"
    assert main(["export", str(run), "--format", "plain"]) == 0
    assert main(["export", str(run), "--format", "plain"]) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert main(["export", str(run), "--format", "plain", "--overwrite"]) == 0
    assert json.loads((run / "plain" / "config.json").read_text())["architecture"] == "digits"
    weights = (run / "model.safetensors").read_bytes()
    assert main(["export", str(run), "--format", "plain", "--output", str(run), "--overwrite"]) == 2  # its own members
    assert "holds a model that would be lost" in capfd.readouterr().err
    assert (run / "model.safetensors").read_bytes() == weights
