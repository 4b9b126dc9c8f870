"""Stock networks with one input channel: what was trained is used by predict, calibrate, export and pipeline."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    pipeline,
)
from visionrun import flags, pictures

from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions

ViT = (ViTForImageClassification, ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
                                            image_size=16, patch_size=4, num_channels=1))  # fmt: skip
ResNet = (ResNetForImageClassification, ResNetConfig(num_channels=1, embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"))  # fmt: skip  # noqa: E501
ConvNext = (ConvNextForImageClassification, ConvNextConfig(num_channels=1, hidden_sizes=[8, 12, 12, 12], depths=[1] * 4, image_size=16, patch_size=1))  # fmt: skip  # noqa: E501
Swin = (SwinForImageClassification, SwinConfig(num_channels=1, image_size=16, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4))  # fmt: skip  # noqa: E501


@pytest.fixture
def grey(tmp_path) -> Path:
    return pictures(tmp_path / "grey", size=16, mode="L")


def made(folder: Path, kind: Any, config: Any) -> Path:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("of", [ViT, ResNet, ConvNext, Swin], ids=["vit", "resnet", "convnext", "swin"])
def test_a_run_of_one_channel_answers_as_it_was_judged(grey, tmp_path, of):
    run = tmp_path / "run"
    model = made(tmp_path / "model", *of)
    changes = {"model": model, "dataset": grey, "max_steps": 2, "method": "logitmix", "calibration_split": 0.3}
    assert main(["vision", *flags(run, **changes, bootstrap=0, max_eval_samples=None)]) == 0
    judged = Predictions.load(run / "predictions" / "validation.parquet")
    output = tmp_path / "out.csv"
    assert main(["predict", "--model", str(run), "--input", str(grey), "--output", str(output)]) == 0
    rows = list(csv.DictReader(output.open()))
    assert judged.idx is not None
    for idx, expected in zip(judged.idx, judged.probabilities, strict=True):
        assert float(rows[int(idx)]["probability"]) == pytest.approx(expected.max(), abs=1e-5)
    classify = pipeline("image-classification", model=str(run))
    path = grey / rows[0]["file"]
    assert classify(str(path))[0]["score"] == pytest.approx(float(rows[0]["probability"]), abs=1e-5)


def test_pictures_in_colour_are_seen_as_their_grey(grey, tmp_path):
    run = tmp_path / "run"
    model = made(tmp_path / "model", *ViT)
    assert main(["vision", *flags(run, model=model, dataset=grey, max_steps=1, bootstrap=0)]) == 0
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    Image.fromarray(colours).convert("L").save(tmp_path / "grey.png")
    classify = pipeline("image-classification", model=str(run))
    colour, plain = (classify(str(tmp_path / f"{name}.png")) for name in ("colour", "grey"))
    assert {one["label"]: one["score"] for one in colour} == pytest.approx(
        {one["label"]: one["score"] for one in plain}, abs=0.003  # Pillow rounds grey to whole numbers
    )  # fmt: skip


def test_calibrate_and_export_give_a_model_that_answers(grey, tmp_path):
    model = made(tmp_path / "model", *ViT)
    trained = tmp_path / "run"
    assert main(["vision", *flags(trained, model=model, dataset=grey, max_steps=1, bootstrap=0)]) == 0
    words = [
        "--dataset",
        grey,
        "--output_dir",
        tmp_path / "calibrated",
        "--save",
        "true",
        "--bootstrap",
        0,
        "--use_cpu",
    ]
    assert main(["calibrate", "--model", str(trained), *map(str, words)]) == 0
    assert main(["predict", "--model", str(tmp_path / "calibrated"), "--input", str(grey), "--output", str(tmp_path / "o.csv")]) == 0  # fmt: skip  # noqa: E501
    assert main(["export", str(trained)]) == 0
    assert AutoModelForImageClassification.from_pretrained(trained).config.num_channels == 3
