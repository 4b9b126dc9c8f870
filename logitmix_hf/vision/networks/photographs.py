"""torchvision's own networks, taken apart into stages; for 64 x 64 images with the stem the authors of LogitMix used."""

from __future__ import annotations

from typing import Any

from torch import nn

from logitmix_hf.vision.networks.cifar import MOBILE
from logitmix_hf.vision.networks.parts import Parts, average, fan_out, torch_default

_CONSTRUCTORS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "vgg16_bn": "vgg16_bn",
    "mobilenetv2": "mobilenet_v2",
    "shufflenetv2": "shufflenet_v2_x1_0",
}


def torchvision_network(name: str, stem: str, channels: int, labels: int, dropout: float | None) -> nn.Module:
    """torchvision's network, without weights, with the first and the last layer that are wanted."""
    import torchvision

    options: dict[str, Any] = {"num_classes": labels}
    if dropout is not None and name in ("vgg16_bn", "mobilenetv2"):
        options["dropout"] = dropout
    network: Any = getattr(torchvision.models, _CONSTRUCTORS[name])(weights=None, **options)
    if name in ("resnet18", "resnet50", "resnext50"):
        network.conv1 = _with_channels(network.conv1, channels)
    elif name == "shufflenetv2":
        network.conv1[0] = _with_channels(network.conv1[0], channels)
    elif name == "vgg16_bn":
        network.features[0] = _with_channels(network.features[0], channels)
    else:
        network.features[0][0] = _with_channels(network.features[0][0], channels)
    if stem == "tiny":
        if name == "mobilenetv2":
            network.features[0][0].stride = (1, 1)
            network.classifier = nn.Linear(network.last_channel, labels)
        else:
            network.maxpool = nn.Identity()
    return network


def _with_channels(layer: nn.Conv2d, channels: int) -> nn.Conv2d:
    """The same convolution for images of another number of channels."""
    if layer.in_channels == channels:
        return layer
    shape: Any = {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
    return nn.Conv2d(channels, layer.out_channels, bias=layer.bias is not None, **shape)


def torchvision_parts(name: str, network: Any) -> Parts:
    """The same modules in our shape; nothing is computed otherwise than in torchvision's forward pass."""
    if name == "vgg16_bn":
        stages: list[nn.Module] = []
        start = 0
        for end, layer in enumerate(network.features, start=1):
            if isinstance(layer, nn.MaxPool2d):
                stages.append(network.features[start:end])
                start = end
        pool = nn.Sequential(network.avgpool, nn.Flatten())
        return Parts(nn.Identity(), stages, nn.Identity(), pool, network.classifier, fan_out(0.01))
    if name == "mobilenetv2":
        stages, start = [], 1
        for _, _, depth, _ in MOBILE:
            stages.append(network.features[start : start + depth])
            start += depth
        return Parts(network.features[0], stages, network.features[start], average(), network.classifier, fan_out(0.01))
    if name == "shufflenetv2":
        stem = nn.Sequential(network.conv1, network.maxpool)
        stages = [network.stage2, network.stage3, network.stage4]
        return Parts(stem, stages, network.conv5, average(), network.fc, torch_default)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    return Parts(stem, stages, nn.Identity(), average(), network.fc, fan_out(None))
