"""The last batch of an epoch may be one image, which BatchNorm cannot train on where its map is a single pixel."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from logitmix_hf.errors import UserError
from logitmix_hf.training.settings import Change
from logitmix_hf.vision.data import ImageData


def avoid_single_image(model: nn.Module, data: ImageData, training: Any) -> dict[str, Change]:
    """What leaves such a batch out of every epoch: the change of ``dataloader_drop_last`` where one is needed.

    Args:
        data: whose split ``"train"`` is trained on, in one process.
        training: ``TrainingArguments``.

    Raises:
        UserError: when no batch would be left, or every batch is one image.
    """
    rows, batch = len(data.splits["train"]), training.per_device_train_batch_size
    if (training.dataloader_drop_last and rows >= batch > 1) or (rows % batch != 1 and batch > 1):
        return {}
    if trains_on_one(model, data.channels, data.image_size):
        return {}
    if batch == 1 or rows == 1:
        what = "--per_device_train_batch_size 1" if batch == 1 else "one training image"
        raise UserError(
            f"{what}: BatchNorm of this network sees a single value a channel and cannot train on it: take batches of 2"
            " or more, larger images (--image_size), or a network that halves less."
        )
    why = (
        f"the last batch of an epoch would be one image ({rows} images, batches of {batch}), which BatchNorm of this"
        " network cannot train on; one image an epoch is left out"
    )
    return {"dataloader_drop_last": Change(True, why)}


def trains_on_one(model: nn.Module, channels: int, size: int) -> bool:
    """Whether a batch of one image can pass the network in training."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return True
    # On a copy: a pass in training moves the running statistics.
    twin = copy.deepcopy(model).train()
    first = next(model.parameters())
    try:
        with torch.no_grad():
            twin(pixel_values=torch.zeros(1, channels, size, size, device=first.device, dtype=first.dtype))
    except ValueError as problem:
        return "more than 1 value per channel" not in str(problem)
    return True
