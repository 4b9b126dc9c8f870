"""Data sets known by name: where they are, what their columns are called, and how they are usually fed to a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, nearest
from logitmix_hf.vision.data.augment import Augment


@dataclass(frozen=True)
class Named:
    """One data set.

    hub: its id; None for what needs no Hub. image, label: its columns. validation, test: its splits, None for none.
    image_size, channels: of its images, or what networks are given of them.
    mean, std: per channel, of all pixels of the whole train split, in units of [0, 1]; None: computed. ``source`` says
        where they come from.
    augment: what is usual in training.
    """

    hub: str | None
    image: str
    label: str
    validation: str | None
    test: str | None
    image_size: int
    channels: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    source: str
    augment: Augment = field(default_factory=Augment)


def _of_255(*values: float) -> tuple[float, ...]:
    return tuple(value / 255 for value in values)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

NAMED: dict[str, Named] = {
    "cifar10": Named(
        "uoft-cs/cifar10", "img", "label", None, "test", 32, 3,
        _of_255(125.3, 123.0, 113.9), _of_255(63.0, 62.1, 66.7), "CutMix's code",
    ),
    "cifar100": Named(
        "uoft-cs/cifar100", "img", "fine_label", None, "test", 32, 3,
        _of_255(129.3, 124.1, 112.4), _of_255(68.2, 65.4, 70.4), "PuzzleMix's code",
    ),
    "tiny-imagenet": Named(
        "zh-plus/tiny-imagenet", "image", "label", "valid", None, 64, 3,
        (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821), "pixels of the train split, as usual in the literature",
    ),
    "imagenet-1k": Named(
        "ILSVRC/imagenet-1k", "image", "label", "validation", "test", 224, 3,
        IMAGENET_MEAN, IMAGENET_STD, "torchvision's reference training", Augment(crop="resized"),
    ),
    "fashion-mnist": Named(
        "zalando-datasets/fashion_mnist", "image", "label", None, "test", 28, 1,
        (0.2860,), (0.3530,), "pixels of the train split, as usual in the literature", Augment(padding=2),
    ),
    "digits": Named(
        None, "image", "label", "validation", "test", 8, 1, None, None, "computed", Augment(padding=1, flip=0.0),
    ),
}  # fmt: skip


def find_named(dataset: str) -> tuple[str, Named] | None:
    """The row for a name, for its id on the Hub, or for a folder whose path ends with that id."""
    if dataset in NAMED:
        return dataset, NAMED[dataset]
    parts = expanded(dataset).parts[-2:]
    for name, row in NAMED.items():
        if row.hub is not None and (dataset == row.hub or parts == tuple(row.hub.split("/"))):
            return name, row
    return None


def unknown(dataset: str, why: str = "") -> UserError:
    """What to say of a data set that is nowhere."""
    near = nearest(dataset, [*NAMED, *(row.hub for row in NAMED.values() if row.hub)])
    return UserError(
        f"{why or f'No data set is called {dataset!r}.'}{near} Known by name: {', '.join(sorted(NAMED))}; or give a data"
        " set of the Hub (ORG/NAME) or a folder (./FOLDER)."
    )
