"""NETWORKS: one row a network. Read without importing torch: the command line lists it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from logitmix_hf.errors import UserError, pick

STEMS = {
    "cifar": "3x3 convolution of stride 1, no pooling: images of about 32 x 32",
    "tiny": "the first convolution halves the image, no pooling: images of about 64 x 64",
    "imagenet": "the first convolution and a pooling quarter the image: photographs of about 224 x 224",
}
_CIFAR, _TINY = 32, 127  # largest sides for which a stem is the default

_WEIAICUNZAI = "weiaicunzai/pytorch-cifar100"
_TORCHVISION = "torchvision"
_MIXMO = "Ramé et al. 2021 (MixMo), official code"


@dataclass(frozen=True)
class Network:
    """One row of :data:`NETWORKS`.

    Attributes:
        name: as given to ``build_network``; ``d`` and ``w`` stand for whole numbers.
        idea: one line on what it is.
        paper: who proposed it.
        source: by stem, the definition that is followed to the last parameter.
        stages: how many stages mixing may come after.
        halvings: by stem, how often the image is halved: it needs at least ``2 ** halvings`` pixels a side.
    """

    name: str
    idea: str
    paper: str
    source: dict[str, str]
    stages: int
    halvings: dict[str, int]

    def stem_for(self, image_size: int) -> str:
        """The name of the stem for images of that side: the nearest that this network has."""
        wanted = "cifar" if image_size <= _CIFAR else "tiny" if image_size <= _TINY else "imagenet"
        return wanted if wanted in self.source else list(self.source)[-1]


def _both(tiny: str = f"{_TORCHVISION}, without its first pooling") -> dict[str, str]:
    return {"cifar": _WEIAICUNZAI, "tiny": tiny, "imagenet": _TORCHVISION}


_RESIDUAL = {"cifar": 3, "tiny": 4, "imagenet": 5}
_OWN = {"imagenet": "ours: a 7x7 convolution of stride 2 and a pooling before the same trunk"}

NETWORKS = {
    row.name: row
    for row in (
        Network(
            "resnet18", "18 layers in residual blocks of two 3x3 convolutions", "He et al. 2016",
            _both(), 4, _RESIDUAL,
        ),
        Network(
            "resnet50", "50 layers in residual bottlenecks", "He et al. 2016",
            _both(), 4, _RESIDUAL,
        ),
        Network(
            "resnext50", "bottlenecks of 32 groups (for CIFAR the first 1x1 convolution is grouped too)", "Xie et al. 2017",
            _both(), 4, _RESIDUAL,
        ),
        Network(
            "vgg16_bn", "13 plain 3x3 convolutions with batch norm, 3 linear layers with dropout",
            "Simonyan and Zisserman 2015",
            _both(tiny=f"{_WEIAICUNZAI}, its last maps averaged to 1 x 1"), 5,
            {"cifar": 5, "tiny": 5, "imagenet": 5},
        ),
        Network(
            "mobilenetv2", "inverted residuals with linear bottlenecks: light", "Sandler et al. 2018",
            _both(tiny=f"{_TORCHVISION}, its first convolution of stride 1, one linear layer as head"), 7,
            {"cifar": 3, "tiny": 4, "imagenet": 5},
        ),
        Network(
            "shufflenetv2", "split, transform, shuffle channels: light", "Ma et al. 2018",
            _both(), 3, {"cifar": 3, "tiny": 4, "imagenet": 5},
        ),
        Network(
            "wideresnet-d-w", "pre-activation residual blocks, depth d = 6n + 4, w times as wide, as in wideresnet-28-10",
            "Zagoruyko and Komodakis 2016",
            {"cifar": _MIXMO, "tiny": f"{_MIXMO}, its first convolution of stride 2", **_OWN}, 3,
            {"cifar": 2, "tiny": 3, "imagenet": 4},
        ),
        Network(
            "preactresnet18-w", "18 pre-activation layers, w times as wide, no norm before pooling, as in preactresnet18-2",
            "He et al. 2016",
            {"cifar": f"{_MIXMO}, its first convolution of stride 1", "tiny": _MIXMO, **_OWN}, 4, _RESIDUAL,
        ),
        Network(
            "digits", "one small residual block a stage: learns 8 x 8 digits in seconds", "ours",
            {"cifar": "ours"}, 3, {"cifar": 2},
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class NamedNetwork:
    """What a name says: its row, and the numbers in it."""

    row: Network
    depth: int = 0
    width: int = 0


def network_names() -> tuple[str, ...]:
    """The names of :data:`NETWORKS`, in its order; ``d`` and ``w`` in them stand for numbers."""
    return tuple(NETWORKS)


def read_name(name: str) -> NamedNetwork:
    """The row that a name means, with its depth and width.

    Raises:
        UserError: for an unknown name, with the nearest, and for a depth or width that cannot be built.
    """
    if match := re.fullmatch(r"wideresnet-(\d+)-(\d+)", name):
        depth, width = int(match[1]), int(match[2])
        if depth < 10 or depth % 6 != 4 or width < 1:
            near = max(10, round((depth - 4) / 6) * 6 + 4)
            raise UserError(
                f"{name!r} cannot be built: the depth of a wideresnet-d-w is 10, 16, 22, 28, 34, 40 or another 6n + 4, its"
                f" width at least 1; the nearest is wideresnet-{near}-{max(1, width)}."
            )
        return NamedNetwork(NETWORKS["wideresnet-d-w"], depth, width)
    if match := re.fullmatch(r"preactresnet18(?:-(\d+))?", name):
        width = int(match[1] or 1)
        if width < 1:
            raise UserError(f"{name!r} cannot be built: the width of a preactresnet18-w is at least 1.")
        return NamedNetwork(NETWORKS["preactresnet18-w"], 18, width)
    row = pick(NETWORKS, name, "network")
    if name in ("wideresnet-d-w", "preactresnet18-w"):
        example = {"wideresnet-d-w": "wideresnet-28-10", "preactresnet18-w": "preactresnet18-1"}[name]
        raise UserError(f"{name!r} stands for a family: put numbers for its letters, as in {example!r}.")
    return NamedNetwork(row)


def is_ours(model: str) -> bool:
    """Whether ``--model`` names one of our networks, which start from random weights.

    Raises:
        UserError: for one of our families with numbers that cannot be built.
    """
    if model in NETWORKS or model.startswith(("wideresnet-", "preactresnet18")):
        read_name(model)
        return True
    return False
