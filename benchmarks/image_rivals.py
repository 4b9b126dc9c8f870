"""Ours and its rivals on the same images: mixing a batch, finding PuzzleMix's masks, making batches from memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import default_collate
from torchvision.transforms import v2

from logitmix_hf.plan import MixPlan, draw_plan
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.splits import MemorySplit
from logitmix_hf.vision.mixers.puzzle.energy import contrasts, pixel_scale, pool_saliency, puzzle_energy
from logitmix_hf.vision.mixers.puzzle.minimise import minimise

Batch = tuple[Tensor, Tensor]
Mixed = Callable[[], Batch]
MEAN, STD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)
HAVE_TIMM = importlib.util.find_spec("timm") is not None


def batch(rows: int, side: int, classes: int, channels_last: bool = False) -> Batch:
    """Images (rows, 3, side, side) and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(rows, 3, side, side, generator=generator)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(memory_format=layout), torch.randint(classes, (rows,), generator=generator)


def targets(labels: Tensor, plan: MixPlan, classes: int) -> Tensor:
    """(B, C): the labels mixed as the plan says, which is what the rivals return."""
    return plan.shares.new_zeros(len(labels), classes).scatter_add_(1, labels[plan.sources], plan.shares)


def ours(mixer: str, images: Tensor, labels: Tensor, classes: int, dense: bool = False) -> Callable[[], object]:
    """A plan is drawn and the images mixed by it. The plan that was carried out is the target that our losses take;
    ``dense`` makes (B, C) of it too."""
    generator = torch.Generator().manual_seed(0)

    def step() -> object:
        plan = draw_plan(len(images), 1.0, generator)
        mixed, done = MIXERS[mixer](images, plan, generator)
        return mixed, targets(labels, done, classes) if dense else done

    return step


class ResizeMix(v2.CutMix):
    """ResizeMix as the paper's code does it, with torchvision's parts: the partners are resized whole, and pasted."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """A box of a side of U(.1, .8) around a random place, moved inside, and its share."""
        height, width = flat_inputs[0].shape[-2:]
        scale = float(torch.empty(1).uniform_(0.1, 0.8))
        tall, wide = max(1, int(height * scale)), max(1, int(width * scale))
        y, x = int(torch.randint(height, size=(1,))), int(torch.randint(width, size=(1,)))
        top, left = min(max(y - tall // 2, 0), height - tall), min(max(x - wide // 2, 0), width - wide)
        return {"box": (top, left, tall, wide), "lam_adjusted": 1 - tall * wide / (height * width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Mixed labels for labels, mixed images for images."""
        if inpt is params["labels"]:
            return self._mixup_label(inpt, lam=params["lam_adjusted"])
        top, left, tall, wide = params["box"]
        mixed = inpt.clone()
        mixed[..., top : top + tall, left : left + wide] = v2.functional.resize(
            inpt.roll(1, 0), [tall, wide], interpolation=v2.InterpolationMode.NEAREST
        )
        return mixed


def torchvision_mix(mixer: str, images: Tensor, labels: Tensor, classes: int) -> Mixed:
    """``v2.MixUp``, ``v2.CutMix`` or :class:`ResizeMix`, which leave the batch as it is."""
    transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix, "resizemix": ResizeMix}[mixer](alpha=1.0, num_classes=classes)
    return lambda: transform(images, labels)


def timm_mix(mixer: str, images: Tensor, labels: Tensor, classes: int, clone: bool = True) -> Mixed:
    """timm's ``Mixup``: it mixes in place, so whoever needs the images afterwards, as LogitMix does, clones them."""
    from timm.data.mixup import Mixup

    mixup, cutmix = float(mixer == "mixup"), float(mixer == "cutmix")
    mix = Mixup(mixup, cutmix, label_smoothing=0.0, num_classes=classes)
    if clone:
        return lambda: mix(images.clone(), labels)
    own = images.clone()
    return lambda: mix(own, labels)


def photographs(rows: int, side: int, reduce: int = 4) -> Tensor:
    """(rows, 3, side, side) in [0, 1]: patches of scikit-learn's two photographs at a quarter of their size."""
    generator = torch.Generator().manual_seed(0)
    whole = [torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in load_sample_images().images]
    size, found = side * reduce, []
    for row in range(rows):
        photo = whole[row % len(whole)]
        top, left = (int(torch.randint(length - size, (), generator=generator)) for length in photo.shape[1:])
        found.append(F.avg_pool2d(photo[:, top : top + size, left : left + size], reduce))
    return torch.stack(found)


def puzzle_masks(rows: int, blocks: int, levels: int, side: int = 32) -> Callable[[], Tensor]:
    """All that PuzzleMix does to find its masks: pooled saliency, contrasts, energy, exact minimum: (B, n, n) labels.

    The saliency is where a photograph differs from its surroundings. That makes the cut twice as slow as gradients of
    an untrained network do, or noise.
    """
    pixels = photographs(rows, side)
    grey = pixels.mean(1, keepdim=True)
    saliency = (grey - F.avg_pool2d(grey, 5, stride=1, padding=2)).abs()[:, 0]
    images = v2.functional.normalize(pixels, list(MEAN), list(STD))
    generator = torch.Generator().manual_seed(0)

    def step() -> Tensor:
        plan = draw_plan(rows, 1.0, generator, per="example")
        partner = plan.sources[:, 1]
        salient = pool_saliency(saliency, blocks)
        phi = contrasts(images, pixel_scale(images, STD), partner, blocks, 4)
        energy = puzzle_energy(salient, salient[partner], plan.lam, *phi, levels=levels, beta=1.2, gamma=0.5, eta=0.2)
        return minimise(*energy)

    return step


def pixels(rows: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Decoded images (rows, side, side, 3) uint8, and labels."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (rows, side, side, 3), np.uint8), random.integers(0, 100, rows)


def from_memory(images: np.ndarray, labels: np.ndarray, size: int) -> Callable[[], dict[str, Tensor]]:
    """Batches of random rows by :class:`MemorySplit` and :class:`ImageCollator`: crop, flip, normalise."""
    split, random = MemorySplit(images, labels), np.random.default_rng(0)
    collate = ImageCollator(split, MEAN, STD, Augment())
    return lambda: collate(split.__getitems__(random.integers(0, len(labels), size).tolist()))


def pipeline(side: int, padding: int = 4) -> Any:
    """The same with torchvision v2, image by image."""
    return v2.Compose(
        [
            v2.RandomCrop(side, padding=padding),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def from_pil(images: np.ndarray, labels: np.ndarray, size: int) -> Callable[[], list[Tensor]]:
    """Batches of random rows by :func:`pipeline` over PIL images, which are decoded already."""
    pictures, random = [Image.fromarray(image) for image in images], np.random.default_rng(0)
    transform = pipeline(images.shape[1])

    def step() -> list[Tensor]:
        rows = random.integers(0, len(labels), size)
        return default_collate([(transform(pictures[row]), int(labels[row])) for row in rows])

    return step
