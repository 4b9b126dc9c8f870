"""Network and image processor of a run: ours with random weights, or a pretrained one of the Hub or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoImageProcessor, AutoModelForImageClassification, PreTrainedModel

from logitmix_hf.errors import UserError, nearest
from logitmix_hf.running.pretrained import Pretrained, explained, find_pretrained, load_config
from logitmix_hf.vision.data import NAMED, ImageData
from logitmix_hf.vision.networks import NETWORKS, build_network, image_processor, register
from logitmix_hf.vision.networks.table import read_name
from logitmix_hf.vision.settings import ModelSettings
from logitmix_hf.vision.sites import resolve_site

GO_ON = "a network by name (--model resnet18) or a local folder needs no network"


def is_ours(model: str) -> bool:
    """Whether ``--model`` names one of our networks, which start from random weights.

    Raises:
        UserError: for one of our families with numbers that cannot be built.
    """
    if model in NETWORKS or model.startswith(("wideresnet-", "preactresnet18")):
        read_name(model)
        return True
    return False


@dataclass(frozen=True)
class Source:
    """Where the network comes from: ``pretrained`` None for ours.

    size, mean, std: what a pretrained network was made for, where its processor says so.
    """

    settings: ModelSettings
    pretrained: Pretrained | None = None
    config: Any = None
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        return self.settings.model


def find_network(settings: ModelSettings, dataset: str, image_size: int | None, token: str | None) -> Source:
    """The network that ``--model`` means, of which nothing but its configuration has been fetched.

    Raises:
        UserError: when it does not exist, or is too deep for images whose size is known already.
    """
    if is_ours(settings.model):
        size = image_size or (NAMED[dataset].image_size if dataset in NAMED else None)
        if size is not None:
            check_size(settings, size)
        return Source(settings)
    register()
    if "/" not in settings.model and not settings.model.startswith((".", "~")):
        near = nearest(settings.model, NETWORKS)
        if near:
            raise UserError(
                f"No network is called {settings.model!r}.{near} Known: {', '.join(NETWORKS)}; or give a Hub id (org/name)"
                " or a folder."
            )
    found = find_pretrained(settings.model, settings.model_revision, token, what="an image classifier", go_on=GO_ON)
    config = load_config(found)
    size, mean, std = _processing(found, config)
    return Source(settings, found, config, size, mean, std)


def check_size(settings: ModelSettings, size: int) -> None:
    """Require images of this size to be large enough for one of our networks."""
    from logitmix_hf.vision.networks.config import ConvNetConfig
    from logitmix_hf.vision.networks.model import chosen_stem

    chosen_stem(ConvNetConfig(architecture=settings.model, image_size=size, stem=settings.stem))


def check_site_of(source: Source, site: str | None) -> None:
    """Require a site's stage to exist, as far as can be told before the weights are there."""
    if site is None:
        return
    if source.pretrained is None:
        resolve_site(site, read_name(source.name).row.stages, source.name)
    elif getattr(source.config, "num_hidden_layers", None) and not getattr(source.config, "depths", None):
        resolve_site(site, source.config.num_hidden_layers, source.name)


def _processing(
    source: Pretrained, config: Any
) -> tuple[int | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Side, mean and standard deviation of what the network was trained on."""
    try:
        processor = AutoImageProcessor.from_pretrained(source.path, **source.options())
    except Exception:  # a folder of weights alone is good enough: the data then says how it is normalised
        return getattr(config, "image_size", None), None, None
    said = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    said = said or getattr(processor, "size", None) or {}
    size = said.get("height") or said.get("shortest_edge")
    own = getattr(config, "image_size", None)
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    size = own if isinstance(own, int) else size
    if mean is None or std is None or not getattr(processor, "do_normalize", True):
        return size, None, None
    return size, tuple(mean), tuple(std)


def load_network(source: Source, data: ImageData) -> tuple[PreTrainedModel, str]:
    """The classifier in float32 for this data, and what was done to its head, in words or ''.

    Raises:
        UserError: when it cannot be built for these images or loaded.
    """
    labels = dict(enumerate(data.label_names))
    if source.pretrained is None:
        extra = {} if source.settings.dropout is None else {"dropout": source.settings.dropout}
        model = build_network(
            source.name, len(labels), data.image_size, data.channels, source.settings.stem, id2label=labels, **extra
        )
        return model, ""
    config, note = source.config, ""
    known = [str(name) for name in config.id2label.values()]
    if known != list(data.label_names):
        note = f"The head for {len(known)} labels is replaced by a new one for the {len(labels)} of this data."
    config.num_labels = len(labels)
    config.id2label, config.label2id = labels, {name: number for number, name in labels.items()}
    config.problem_type = data.problem
    channels = getattr(config, "num_channels", None)
    if channels is not None and channels != data.channels:
        raise UserError(
            f"--model {source.name} takes images of {channels} channels, the data has {data.channels}: give --channels"
            f" {channels}."
        )
    try:
        model = AutoModelForImageClassification.from_pretrained(
            source.pretrained.path,
            config=config,
            ignore_mismatched_sizes=bool(note),
            dtype="float32",
            **source.pretrained.options(),
        )
    except Exception as problem:
        raise explained(source.pretrained, problem) from problem
    if note:
        # The same number of labels in another order or of other names: weights that fit in shape would be kept.
        _new_head(model)
    return model, note


def _new_head(model: PreTrainedModel) -> None:
    from logitmix_hf.vision.sites import find_sites

    for head in find_sites(model).heads:
        model._init_weights(head)


def processor_for(source: Source, data: ImageData) -> Any:
    """What turns a picture into the network's input as training did, saved beside the weights."""
    return image_processor(data.image_size, data.mean, data.std, data.channels)
