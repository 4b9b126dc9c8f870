"""The configuration of our convolutional networks; light to import once transformers is there."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig


class ConvNetConfig(PreTrainedConfig):
    """Which network, for which images.

    Args:
        architecture: a name in :data:`logitmix_hf.vision.networks.NETWORKS`, with numbers in place of its letters.
        image_size: side of the square images in pixels.
        num_channels: 1 (grey) or 3 (colour).
        stem: how the network begins, a name in ``STEMS``; None: as the image size suggests.
        dropout: share of units dropped before the linear layers of VGG and torchvision's MobileNetV2; None: as in the
            definition that is followed (0.5 and 0.2).
        kwargs: what every configuration takes: ``num_labels``, ``id2label``, ``label2id`` …
    """

    model_type = "logitmix_convnet"

    def __init__(
        self,
        architecture: str = "resnet18",
        image_size: int = 32,
        num_channels: int = 3,
        stem: str | None = None,
        dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.architecture = architecture
        self.image_size = image_size
        self.num_channels = num_channels
        self.stem = stem
        self.dropout = dropout
        super().__init__(**kwargs)
