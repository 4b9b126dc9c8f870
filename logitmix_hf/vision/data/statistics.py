"""Mean and standard deviation of pixels: what images are normalised by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from logitmix_hf.vision.data.named import IMAGENET_MEAN, IMAGENET_STD, Named
from logitmix_hf.vision.data.sizes import Shape
from logitmix_hf.vision.data.splits import MemorySplit, Split

_MOST_PIXELS = 2**30  # that mean and standard deviation are computed from


def statistics_of(
    splits: Mapping[str, Split], named: Named | None, shape: Shape
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean and standard deviation per channel, of train or where it is not read of the first split; and where they come
    from."""
    if named and named.mean and named.std and len(named.mean) == shape.channels:
        return named.mean, named.std, named.source
    name = "train" if "train" in splits else next(iter(splits))
    if isinstance(split := splits[name], MemorySplit):
        return *pixel_statistics(split), f"the pixels of {name}"
    if shape.channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD, "ImageNet"
    return (float(np.mean(IMAGENET_MEAN)),), (float(np.mean(IMAGENET_STD)),), "ImageNet, mean of its channels"


def pixel_statistics(split: MemorySplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, in units of [0, 1]; of evenly spaced rows where all
    together are more than 2^30 values. A channel of one value has the deviation of one step, 1/255."""
    rows = np.linspace(0, len(split) - 1, min(len(split), max(1, _MOST_PIXELS * len(split) // split.nbytes)))
    counts = 0
    for part in np.array_split(rows.astype(np.int64), max(1, len(rows) // 1_000)):
        values = split.take(part, None).reshape(-1, split.pixels.shape[1]) if len(part) else None
        if values is not None:
            counts = counts + torch.stack([torch.bincount(channel, minlength=256) for channel in values.T]).double()
    assert isinstance(counts, torch.Tensor)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(dim=1, keepdim=True)
    mean = share @ levels
    std = (share @ levels.square() - mean.square()).clamp(min=0).sqrt().clamp(min=1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())
