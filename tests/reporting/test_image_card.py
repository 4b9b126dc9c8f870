"""The card of an image classifier: what it says otherwise, and its lines of use run."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from logitmix_hf.reporting.card import model_card, relocated
from logitmix_hf.vision.networks import build_network, image_processor

RESULTS = {"eval_accuracy": 0.5, "eval_top5_accuracy": 0.9, "eval_ece": 0.1}


def card(location="runs/x", **model) -> str:
    return model_card(
        {
            "model": {"base": "resnet18", "pipeline_tag": "image-classification", "pretrained": False, "image_size": 32,
                      "parameters": 11_220_132, "type": "logitmix_convnet", **model},
            "data": {
                "name": "cifar100", "source": "uoft-cs/cifar100", "metrics": ["accuracy", "top5_accuracy"],
                "problem": "single_label_classification", "label_names": ["apple", "pear"], "image_size": 32, "channels": 3,
                "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "statistics": "somewhere", "skipped": {"train": 2},
            },
            "method": {"name": "logitmix", "mixer": "cutmix", "mixer_source": "Yun et al., CutMix, ICCV 2019"},
        },
        RESULTS, name="pears", location=location,
    )  # fmt: skip


def test_a_network_from_random_weights_has_no_base_model():
    data = ModelCard(card()).data
    assert data.base_model is None
    assert data.pipeline_tag == "image-classification"
    assert data.metrics == ["accuracy"]  # `evaluate` has no module of top-5 accuracy
    assert {(one.metric_type, one.metric_value) for one in data.eval_results} >= {
        ("accuracy", 0.5),
        ("top_5_accuracy", 0.9),
    }
    text = card()
    assert "`resnet18` for images of 32 x 32 pixels (11.2 M parameters) from random weights, trained on" in text
    assert "Biases of the data are" in text
    assert "base model" not in text
    assert ModelCard(card(pretrained=True, base="microsoft/resnet-50")).data.base_model == "microsoft/resnet-50"


def test_it_says_what_the_network_reads_and_whom_to_cite():
    text = card()
    assert "mean (0.5000, 0.4000, 0.3000), std (0.2000, 0.2000, 0.2000), from somewhere" in text
    assert "unreadable images left out | {'train': 2}" in text
    assert "Yun et al., CutMix, ICCV 2019" in text
    assert "bang2022logitmix" in text
    assert "Mixup-Transformer" not in text


def test_a_pushed_card_loads_from_the_repository():
    assert 'pipeline("image-classification", model="ada/pears")' in relocated(card(), "ada/pears")


def test_the_lines_of_use_run_where_nothing_else_was_imported(tmp_path):
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(tmp_path / "picture.png")
    lines = ""
    for channels in (1, 3):
        folder, names = tmp_path / f"model{channels}", {0: "a", 1: "b", 2: "c"}
        network = build_network("digits", 3, 8, channels, id2label=names)
        with torch.no_grad():
            network.classifier.weight.zero_()
            network.classifier.bias.copy_(torch.tensor([0.0, 2.0, 1.0]))
        network.save_pretrained(folder)
        image_processor(8, [0.5] * channels, [0.2] * channels, channels).save_pretrained(folder)
        (code,) = re.findall(r"```python\n(.*?)```", card(location=str(folder)), re.DOTALL)
        lines += code
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for said in map(eval, done.stdout.splitlines()):
        assert [entry["label"] for entry in said] == ["b", "c", "a"]
        # By hand: softmax of (2, 1, 0).
        assert [entry["score"] for entry in said] == pytest.approx([0.66524, 0.24473, 0.09003], abs=1e-4)
    assert len(done.stdout.splitlines()) == 2
