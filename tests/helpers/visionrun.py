"""Pictures, tiny pretrained networks, and the flags of a short run on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import TrainerCallback

SHORT = {
    "dataset": "digits",
    "model": "digits",
    "max_train_samples": 64,
    "max_eval_samples": 40,
    "per_device_train_batch_size": 16,
    "num_train_epochs": 1,
    "logging_steps": 1,
    "disable_tqdm": "true",
    "use_cpu": "true",
    "report_to": "none",
}


def flags(output: Any, **changes: Any) -> list[str]:
    values = {**SHORT, "output_dir": output, **changes}
    return [word for name, value in values.items() if value is not None for word in (f"--{name}", *_words(value))]


def _words(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def watch(monkeypatch: Any, callback: Any) -> None:
    """Add a callback to the runs of a test."""
    from logitmix_hf.training.text.job import TextJob
    from logitmix_hf.training.vision.job import VisionJob

    for kind, own in ((TextJob, TextJob.callbacks), (VisionJob, VisionJob.callbacks)):
        monkeypatch.setattr(kind, "callbacks", lambda self, own=own: [*own(self), callback])


class Before(TrainerCallback):
    """Does something before the step that follows so many."""

    def __init__(self, steps: int, what: Callable[[], None]) -> None:
        self.steps, self.what = steps, what

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.steps:
            self.what()


def pictures(root: Path, size: int = 32, count: int = 10, classes=("cat", "dog"), mode: str = "RGB") -> Path:
    """A folder of class folders: noise, the second class darker than the first."""
    draw = np.random.default_rng(0)
    shape = (size, size) if mode == "L" else (size, size, 3)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for row in range(count):
            pixels = draw.integers(0, 256 // (number + 1), shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{row:02}.png")
    return root


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def tiny_vit(folder: Path, image_size: int = 32, labels: int = 5) -> Path:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    sizes |= {"image_size": image_size, "patch_size": image_size // 4, "num_labels": labels}
    ViTForImageClassification(ViTConfig(**sizes)).save_pretrained(folder)
    side = {"height": image_size, "width": image_size}
    ViTImageProcessor(size=side, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4]).save_pretrained(folder)
    return folder


def tiny_resnet(folder: Path) -> Path:
    """With a head for cats and dogs."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    names = {0: "cat", 1: "dog"}
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", id2label=names,
        label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 24}).save_pretrained(folder)
    return folder
