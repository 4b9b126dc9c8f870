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
        members: M, how many subnetworks share the trunk (MIMO, MixMo); 1: a plain network.
        encoders: how many first convolutions there are: M, or 1 that all members share; None: M.
        heads: how many last layers: M, or 1; None: M.
        ensemble_average: what the members' answers are averaged in, ``"logits"`` or ``"probs"``.
        kwargs: what every configuration takes: ``num_labels``, ``id2label``, ``label2id`` …
    """

    model_type = "logitmix_convnet"
    # Trainer gathers every tensor of an output: what single members say is asked for by name.
    keys_to_ignore_at_inference = ["member_logits"]  # noqa: RUF012 (as transformers has it)

    def __init__(
        self,
        architecture: str = "resnet18",
        image_size: int = 32,
        num_channels: int = 3,
        stem: str | None = None,
        dropout: float | None = None,
        members: int = 1,
        encoders: int | None = None,
        heads: int | None = None,
        ensemble_average: str = "logits",
        **kwargs: Any,
    ) -> None:
        self.architecture = architecture
        self.image_size = image_size
        self.num_channels = num_channels
        self.stem = stem
        self.dropout = dropout
        self.members = members
        self.encoders = encoders
        self.heads = heads
        self.ensemble_average = ensemble_average
        super().__init__(**kwargs)
