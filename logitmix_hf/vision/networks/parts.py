"""What a network is made of: the one shape that all of ours share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Parts:
    """A classifier is ``head(pool(neck(stages(stem(images)))))``.

    Attributes:
        stem: what comes before the first stage.
        stages: each ends where a hidden site may be.
        neck: what follows the last stage and still sees maps (B, C, H, W); an identity where nothing does.
        pool: from maps to what the head takes.
        head: ends in the linear layer that gives the logits.
        initialise: sets the weights of one module as the definition does that is followed.
    """

    stem: nn.Module
    stages: list[nn.Module]
    neck: nn.Module
    pool: nn.Module
    head: nn.Module
    initialise: Callable[[nn.Module], None]


def average() -> nn.Sequential:
    """(B, C, H, W) to the mean over places (B, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv(
    inside: int, outside: int, kernel: int = 3, stride: int = 1, *, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """A convolution padded to keep the size at stride 1."""
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=bias)


def conv_bn(
    inside: int, outside: int, kernel: int = 3, stride: int = 1, *, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """A convolution and its batch norm."""
    return [conv(inside, outside, kernel, stride, groups=groups, bias=bias), nn.BatchNorm2d(outside)]


def torch_default(module: nn.Module) -> None:
    """Initialise as PyTorch does when it makes a layer."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
        module.reset_parameters()


def fan_out(linear: float | None) -> Callable[[nn.Module], None]:
    """Initialise as torchvision does: He's normal by fan-out; linear layers N(0, ``linear``), None: PyTorch's default."""

    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear is not None:
            nn.init.normal_(module.weight, 0, linear)
            nn.init.zeros_(module.bias)
        else:
            torch_default(module)

    return initialise


_CUT = 0.87962566103423978  # standard deviation of N(0, 1) cut at 2


def truncated(linear: float | None) -> Callable[[nn.Module], None]:
    """Initialise as MixMo's code does: a normal cut at 2 sigma with variance 2 / fan-in; linear layers N(0, ``linear``),
    None: the same rule."""

    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and linear is None):
            std = math.sqrt(2 / module.weight[0].numel()) / _CUT
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.Linear) and linear is not None:
            nn.init.normal_(module.weight, 0, linear)
        else:
            torch_default(module)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    return initialise
