"""One model class for all of our networks, at home on the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from logitmix_hf.errors import UserError, check_number, pick
from logitmix_hf.targets import mean_loss
from logitmix_hf.vision.colour import GREY_OF_COLOUR
from logitmix_hf.vision.network_table import NETWORKS, STEMS, NamedNetwork, read_name
from logitmix_hf.vision.networks.cifar import BUILDERS
from logitmix_hf.vision.networks.config import ConvNetConfig
from logitmix_hf.vision.networks.members import check_members, ensemble, with_members
from logitmix_hf.vision.networks.parts import Parts
from logitmix_hf.vision.networks.photographs import torchvision_network, torchvision_parts
from logitmix_hf.vision.networks.preact import preactresnet18_parts, wideresnet_parts


def chosen_stem(config: ConvNetConfig) -> str:
    """The stem of a configuration, after the image was found large enough for it.

    Raises:
        UserError: for an unknown stem, one that this network does not have, and an image that is too small.
    """
    named = read_name(config.architecture)
    check_number("image_size", config.image_size, low=1)
    check_number("channels", config.num_channels, low=1)
    stem = config.stem or named.row.stem_for(config.image_size)
    pick(STEMS, stem, "stem")
    pick(named.row.halvings, stem, f"stem of {config.architecture}")
    smallest = 2 ** named.row.halvings[stem]
    if config.image_size < smallest:
        shallower = [name for name, count in named.row.halvings.items() if 2**count <= config.image_size]
        fitting = [
            name
            for name, row in NETWORKS.items()
            if row is not named.row and 2 ** min(row.halvings.values()) <= config.image_size
        ]
        hint = f", take the stem {' or '.join(shallower)}" if shallower else ""
        hint += f", or take a network that halves less: {', '.join(fitting)}" if fitting else ""
        raise UserError(
            f"{config.architecture} with the {stem} stem halves an image {named.row.halvings[stem]} times: it needs at"
            f" least {smallest} x {smallest} pixels, got {config.image_size} x {config.image_size}; resize the images"
            f" (image_size){hint}."
        )
    return stem


def label_count(config: ConvNetConfig) -> int:
    """How many classes a configuration has."""
    return int(config.num_labels or 0)


def is_torchvision(named: NamedNetwork, stem: str) -> bool:
    """Whether the network is torchvision's with this stem."""
    return named.row.source[stem].startswith("torchvision")


def _parts(config: ConvNetConfig) -> Parts:
    named, stem = read_name(config.architecture), chosen_stem(config)
    channels, labels = config.num_channels, label_count(config)
    if named.row.name == "wideresnet-d-w":
        return wideresnet_parts(named.depth, named.width, stem, channels, labels)
    if named.row.name == "preactresnet18-w":
        return preactresnet18_parts(named.width, stem, channels, labels)
    if is_torchvision(named, stem):
        network = torchvision_network(named.row.name, stem, channels, labels, config.dropout)
        return torchvision_parts(named.row.name, network)
    return BUILDERS[named.row.name](channels, labels, config.dropout)


@dataclass
class MemberClassifierOutput(ImageClassifierOutputWithNoAttention):
    """As its base, and ``member_logits`` (B, M, C) of a network with several members."""

    member_logits: Tensor | None = None


class ConvNetForImageClassification(PreTrainedModel):
    """A convolutional classifier: ``classifier(pool(neck(stages(stem(images)))))``.

    Every network has the same five parts, so that a site is found by its name: ``stages[k - 1]`` ends stage k. With
    ``config.members`` above 1 its first convolution is a :class:`~logitmix_hf.vision.networks.Stems` and its last layer a
    :class:`~logitmix_hf.vision.networks.Heads`.
    """

    config_class = ConvNetConfig
    config: ConvNetConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]  # as all image models of transformers have it
    # forward takes whatever comes and ignores it: Trainer must not think that it divides by num_items_in_batch.
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        check_members(config)
        parts = _parts(config)
        self.stem = parts.stem
        self.stages = nn.ModuleList(parts.stages)
        self.neck = parts.neck
        self.pool = parts.pool
        self.classifier = parts.head
        self._initialise = parts.initialise
        with_members(self, config.members, config.encoders, config.heads)
        self.gradient_checkpointing = False
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        self._initialise(module)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> ImageClassifierOutputWithNoAttention | tuple[Any, ...]:
        """Logits, and their loss when labels are given: cross entropy, or what ``config.problem_type`` asks for.

        Args:
            pixel_values: (B, C, H, W) normalised images. A network for grey images takes colour ones too, and weighs
                their channels as Pillow does: ``pipeline`` hands every image over as RGB.
            labels: (B,) class numbers or (B, num_labels) shares that sum to 1; (B, num_labels) of 0 and 1 or values where
                ``config.problem_type`` says multi-label or regression.
            output_hidden_states: also return the maps after the stem and after each stage.
            return_dict: False: a tuple.

        Returns:
            ``loss`` scalar or None, ``logits`` (B, num_labels) float32, ``hidden_states``; of a network with M heads also
            ``member_logits`` (B, M, num_labels), of which ``logits`` are the average.
        """
        if self.config.num_channels == 1 and pixel_values.shape[1] == 3:
            luma = torch.tensor(GREY_OF_COLOUR, dtype=pixel_values.dtype, device=pixel_values.device)
            pixel_values = (pixel_values * luma[:, None, None]).sum(1, keepdim=True)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        maps = (self.stem(pixel_values),)
        for stage in self.stages:
            maps = (*(maps if wanted else ()), self._run(stage, maps[-1]))
        logits, several = self.classifier(self.pool(self.neck(maps[-1]))).float(), None
        if self.config.members > 1 and self.config.heads != 1:
            several = logits.reshape(len(logits), self.config.members, -1)
            logits = ensemble(several, self.config.ensemble_average, self.config.problem_type)
        loss = None if labels is None else mean_loss(logits, labels, self.config.problem_type)
        hidden = maps if wanted else None
        if not (self.config.return_dict if return_dict is None else return_dict):
            return tuple(value for value in (loss, logits, hidden, several) if value is not None)
        if several is None:
            return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=hidden)  # type: ignore[arg-type]
        return MemberClassifierOutput(loss=loss, logits=logits, hidden_states=hidden, member_logits=several)  # type: ignore[arg-type]

    def _run(self, stage: nn.Module, maps: Tensor) -> Tensor:
        if not (self.gradient_checkpointing and self.training):
            return stage(maps)
        return self._gradient_checkpointing_func(
            stage.__call__, maps, context_fn=lambda: (nullcontext(), _statistics_at_rest(stage))
        )


@contextmanager
def _statistics_at_rest(stage: nn.Module) -> Iterator[None]:
    """Within: a stage that backward runs once more does not count its batch a second time."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, None if (n := norm.num_batches_tracked) is None else n.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # what backward saved must be saved again, so that the statistics stay in the call
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


def build_network(
    name: str, num_labels: int, image_size: int = 32, channels: int = 3, stem: str | None = None, **config: Any
) -> ConvNetForImageClassification:
    """A network with random weights.

    Args:
        name: a name in :data:`NETWORKS`; ``wideresnet-28-10`` and ``preactresnet18-2`` with numbers of your own.
        num_labels: how many classes.
        image_size: side of the images in pixels: up to 32 takes the stem for CIFAR, up to 127 that for Tiny ImageNet,
            larger ones torchvision's own network.
        channels: 1 or 3.
        stem: a name in :data:`STEMS`, to choose it otherwise.
        config: further settings of :class:`ConvNetConfig`: ``dropout``, ``members``, ``id2label``, ``label2id`` …

    Raises:
        UserError: for an unknown name, stem or setting, or an image smaller than the network allows.
    """
    read_name(name)
    check_number("num_labels", num_labels, low=1)
    known = ConvNetConfig()
    if said := config.keys() & {"architecture", "num_channels"}:
        raise UserError(f"build_network takes {min(said)} as {'channels' if 'num_channels' in said else 'name'}.")
    if unknown := [key for key in config if not hasattr(known, key)]:
        raise UserError(
            f"{name} has no setting {unknown[0]!r}: it takes dropout, members, encoders, heads, ensemble_average,"
            " id2label, label2id and what every configuration has."
        )
    if (given := config.get("id2label")) is not None and len(given) != num_labels:
        raise UserError(f"num_labels is {num_labels}, but id2label names {len(given)} classes: give as many.")
    if given is None:
        config["num_labels"] = num_labels
    elif config.get("label2id") is None:
        config["label2id"] = {label: number for number, label in given.items()}
    settings = ConvNetConfig(architecture=name, image_size=image_size, num_channels=channels, stem=stem, **config)
    settings.stem = chosen_stem(settings)
    return ConvNetForImageClassification(settings)
