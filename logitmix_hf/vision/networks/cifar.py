"""The networks of the LogitMix paper for 32 x 32 images, as weiaicunzai/pytorch-cifar100 defines them.

Every definition is followed to the last bias; where it differs from the paper of its network, that is said.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from logitmix_hf.vision.networks.parts import Parts, average, conv_bn, torch_default

Block = Callable[[int, int, int], nn.Module]


class Residual(nn.Module):
    """``relu(residual(x) + shortcut(x))``; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, residual: list[nn.Module], inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*residual)
        changes = stride != 1 or inside != outside
        self.shortcut = nn.Sequential(*(conv_bn(inside, outside, 1, stride) if changes else []))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


def basic(inside: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions; as many channels come out as ``width``."""
    layers = [*conv_bn(inside, width, 3, stride), nn.ReLU(inplace=True), *conv_bn(width, width)]
    return Residual(layers, inside, width, stride)


def bottleneck(inside: int, width: int, stride: int, groups: int = 1, inner: int | None = None) -> Residual:
    """1x1, 3x3 and 1x1 convolution; 4 ``width`` channels come out."""
    inner = inner or width
    layers = [
        *conv_bn(inside, inner, 1, groups=groups),
        nn.ReLU(inplace=True),
        *conv_bn(inner, inner, 3, stride, groups=groups),
        nn.ReLU(inplace=True),
        *conv_bn(inner, 4 * width, 1),
    ]
    return Residual(layers, inside, 4 * width, stride)


def grouped(inside: int, width: int, stride: int) -> Residual:
    """A bottleneck of ResNeXt 32 x 4d. The first 1x1 convolution is grouped too: 14.8 M parameters, where torchvision's
    has 23 M."""
    return bottleneck(inside, width, stride, groups=32, inner=2 * width)


def chain(block: Block, inside: int, width: int, outside: int, stride: int, depth: int) -> nn.Sequential:
    """``depth`` blocks, the first of which has the stride."""
    return nn.Sequential(block(inside, width, stride), *(block(outside, width, 1) for _ in range(depth - 1)))


def _resnet(channels: int, labels: int, block: Block, growth: int, depths: tuple[int, ...]) -> Parts:
    stages: list[nn.Module] = []
    inside = 64
    for number, depth in enumerate(depths):
        width = 64 * 2**number
        stages.append(chain(block, inside, width, growth * width, 1 if number == 0 else 2, depth))
        inside = growth * width
    stem = nn.Sequential(*conv_bn(channels, 64), nn.ReLU(inplace=True))
    return Parts(stem, stages, nn.Identity(), average(), nn.Linear(inside, labels), torch_default)


def _vgg(channels: int, labels: int, dropout: float | None) -> Parts:
    stages: list[nn.Module] = []
    inside = channels
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [*conv_bn(inside, width, bias=True), nn.ReLU(inplace=True)]
            inside = width
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    drop = 0.5 if dropout is None else dropout
    head = nn.Sequential(
        nn.Linear(512, 4096), nn.ReLU(inplace=True), nn.Dropout(drop),
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(drop),
        nn.Linear(4096, labels),
    )  # fmt: skip
    return Parts(nn.Identity(), stages, nn.Identity(), average(), head, torch_default)


class Inverted(nn.Module):
    """An inverted residual: widen, 3x3 depthwise, narrow. Its convolutions have biases."""

    def __init__(self, inside: int, outside: int, stride: int, widen: int) -> None:
        super().__init__()
        inner = widen * inside
        self.residual = nn.Sequential(
            *conv_bn(inside, inner, 1, bias=True),
            nn.ReLU6(inplace=True),
            *conv_bn(inner, inner, 3, stride, groups=inner, bias=True),
            nn.ReLU6(inplace=True),
            *conv_bn(inner, outside, 1, bias=True),
        )
        self.keeps = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x) if self.keeps else self.residual(x)


# (widening, channels, blocks, stride) of each stage. Sandler et al., table 2, with smaller strides; torchvision's splits
# into the same stages.
MOBILE = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1),
)  # fmt: skip


def _mobilenet(channels: int, labels: int) -> Parts:
    # The definition's stem is a 1x1 convolution with a padding of 1, which makes 34 x 34 of 32 x 32: kept, since the
    # published counts and accuracies are its own.
    stem = nn.Sequential(nn.Conv2d(channels, 32, 1, padding=1), nn.BatchNorm2d(32), nn.ReLU6(inplace=True))
    stages: list[nn.Module] = []
    inside = 32
    for widen, width, depth, stride in MOBILE:

        def block(inside: int, outside: int, stride: int, widen: int = widen) -> Inverted:
            return Inverted(inside, outside, stride, widen)

        stages.append(chain(block, inside, width, width, stride, depth))
        inside = width
    neck = nn.Sequential(*conv_bn(inside, 1280, 1, bias=True), nn.ReLU6(inplace=True))
    head = nn.Sequential(nn.Conv2d(1280, labels, 1), nn.Flatten())
    return Parts(stem, stages, neck, nn.AdaptiveAvgPool2d(1), head, torch_default)


class Shuffle(nn.Module):
    """A unit of ShuffleNetV2: two branches over all channels at stride 2, else half of the channels pass unchanged."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.splits = stride == 1 and inside == outside
        seen = inside // 2 if self.splits else inside
        self.residual = nn.Sequential(
            *conv_bn(seen, seen, 1, bias=True),
            nn.ReLU(inplace=True),
            *conv_bn(seen, seen, 3, stride, groups=seen, bias=True),
            *conv_bn(seen, outside // 2, 1, bias=True),
            nn.ReLU(inplace=True),
        )
        narrow = [
            *conv_bn(inside, inside, 3, stride, groups=inside, bias=True),
            *conv_bn(inside, outside // 2, 1, bias=True),
            nn.ReLU(inplace=True),
        ]
        self.shortcut = nn.Sequential(*([] if self.splits else narrow))

    def forward(self, x: Tensor) -> Tensor:
        passing, seen = x.chunk(2, dim=1) if self.splits else (x, x)
        both = torch.cat([self.shortcut(passing), self.residual(seen)], dim=1)
        return both.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def _shufflenet(channels: int, labels: int) -> Parts:
    stem = nn.Sequential(*conv_bn(channels, 24, bias=True))
    stages: list[nn.Module] = []
    inside = 24
    for width, depth in ((116, 4), (232, 8), (464, 4)):
        stages.append(chain(Shuffle, inside, width, width, 2, depth))
        inside = width
    neck = nn.Sequential(*conv_bn(inside, 1024, 1, bias=True), nn.ReLU(inplace=True))
    return Parts(stem, stages, neck, average(), nn.Linear(1024, labels), torch_default)


def _digits(channels: int, labels: int) -> Parts:
    stem = nn.Sequential(*conv_bn(channels, 16), nn.ReLU(inplace=True))
    stages: list[nn.Module] = [basic(16, 16, 1), basic(16, 32, 2), basic(32, 64, 2)]
    return Parts(stem, stages, nn.Identity(), average(), nn.Linear(64, labels), torch_default)


Builder = Callable[[int, int, float | None], Parts]

BUILDERS: dict[str, Builder] = {
    "resnet18": lambda channels, labels, dropout: _resnet(channels, labels, basic, 1, (2, 2, 2, 2)),
    "resnet50": lambda channels, labels, dropout: _resnet(channels, labels, bottleneck, 4, (3, 4, 6, 3)),
    "resnext50": lambda channels, labels, dropout: _resnet(channels, labels, grouped, 4, (3, 4, 6, 3)),
    "vgg16_bn": _vgg,
    "mobilenetv2": lambda channels, labels, dropout: _mobilenet(channels, labels),
    "shufflenetv2": lambda channels, labels, dropout: _shufflenet(channels, labels),
    "digits": lambda channels, labels, dropout: _digits(channels, labels),
}
"""By network, its parts with the stem for CIFAR: (channels, labels, share of units dropped or None) -> parts."""
