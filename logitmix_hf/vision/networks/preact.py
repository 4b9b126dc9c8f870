"""Pre-activation networks of MixMo: WideResNet-d-w and PreActResNet18-w. Peculiarities of its code are kept and said."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.vision.networks.cifar import chain
from logitmix_hf.vision.networks.parts import Parts, average, conv, truncated


class WideBlock(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, 3x3, and a shortcut that reads the raw input.

    The stride sits on the second convolution, which is padded as TensorFlow's ``same`` does it: for an even size one
    pixel at the right and the bottom only.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), conv(inside, outside)
        self.norm2 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, stride, 1 if stride == 1 else 0, bias=False)
        changes = stride != 1 or inside != outside
        self.shortcut = conv(inside, outside, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm2(self.conv1(torch.relu(self.norm1(x)))))
        if self.stride != 1:
            height, width = inner.shape[-2:]
            inner = F.pad(inner, (width % 2, 1, height % 2, 1))
        return self.conv2(inner) + self.shortcut(x)


class PreActBlock(nn.Module):
    """BN, ReLU, 3x3 with the stride, BN, ReLU, 3x3, and a shortcut that reads ReLU(BN(x)) where it is a convolution."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), conv(inside, outside, 3, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outside), conv(outside, outside)
        changes = stride != 1 or inside != outside
        self.shortcut = conv(inside, outside, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(torch.relu(self.norm2(self.conv1(active)))) + kept


def _stem(channels: int, width: int, stem: str) -> nn.Module:
    if stem == "imagenet":
        return nn.Sequential(conv(channels, width, 7, 2), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(conv(channels, width, 3, 2 if stem == "tiny" else 1))


def wideresnet_parts(depth: int, width: int, stem: str, channels: int, labels: int) -> Parts:
    """WideResNet of ``depth`` 6n + 4, its three stages 16, 32 and 64 times ``width`` wide."""
    stages: list[nn.Module] = []
    inside = 16
    for number in range(3):
        outside = 16 * width * 2**number
        stages.append(chain(WideBlock, inside, outside, outside, 1 if number == 0 else 2, (depth - 4) // 6))
        inside = outside
    neck = nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(inplace=True))
    return Parts(_stem(channels, 16, stem), stages, neck, average(), nn.Linear(inside, labels), truncated(None))


def preactresnet18_parts(width: int, stem: str, channels: int, labels: int) -> Parts:
    """PreActResNet-18, its four stages 64 to 512 times ``width`` wide; no norm and no ReLU before pooling."""
    stages: list[nn.Module] = []
    inside = 64
    for number in range(4):
        outside = 64 * width * 2**number
        stages.append(chain(PreActBlock, inside, outside, outside, 1 if number == 0 else 2, 2))
        inside = outside
    head = nn.Linear(inside, labels)
    return Parts(_stem(channels, 64, stem), stages, nn.Identity(), average(), head, truncated(0.01))
