"""Network and image processor of a run: ours with random weights, or a pretrained one of the Hub or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoImageProcessor, AutoModelForImageClassification, PreTrainedModel

from logitmix_hf.arguments import MixArguments
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, nearest
from logitmix_hf.modality import IMAGE
from logitmix_hf.models.heads import find_heads
from logitmix_hf.models.pretrained import (
    Pretrained,
    check_weights,
    find_pretrained,
    load_config,
    load_weights,
    told_new,
)
from logitmix_hf.steps.passes import image_options
from logitmix_hf.training.vision.settings import ImageModelSettings
from logitmix_hf.vision.data import NAMED, ImageData
from logitmix_hf.vision.forward import ImageForward
from logitmix_hf.vision.network_table import NETWORKS, is_ours
from logitmix_hf.vision.networks import ConvNetConfig, build_network
from logitmix_hf.vision.networks.model import chosen_stem
from logitmix_hf.vision.sites import find_sites

GO_ON = "a network by name (--model resnet18) or a local folder needs no network"


@dataclass(frozen=True)
class NetworkSource:
    """Where the network comes from: ``pretrained`` None for ours.

    size, channels, mean, std: what a pretrained network was made for, where its processor or configuration says so.
    """

    settings: ImageModelSettings
    pretrained: Pretrained | None = None
    config: Any = None
    size: int | None = None
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        return self.settings.model


def find_network(
    settings: ImageModelSettings, dataset: str, image_size: int | None, token: str | None
) -> NetworkSource:
    """The network that ``--model`` means, of which nothing but its configuration has been fetched.

    Raises:
        UserError: when it does not exist, or is too deep for images whose size is known already.
    """
    if is_ours(settings.model):
        size = image_size or (NAMED[dataset].image_size if dataset in NAMED else None)
        if size is not None:  # large enough for the network
            chosen_stem(ConvNetConfig(architecture=settings.model, image_size=size, stem=settings.stem))
        return NetworkSource(settings, size=size)
    _check_name(settings)
    found = find_pretrained(settings.model, settings.model_revision, token, what="an image classifier", go_on=GO_ON)
    config = load_config(found)
    return NetworkSource(settings, found, config, *_processing(found, config))


def _check_name(settings: ImageModelSettings) -> None:
    """Require what is none of our networks to be a folder, or to look like an id of the Hub."""
    name, folder = settings.model, expanded(settings.model)
    if not folder.is_dir() and ("/" not in name or name.startswith((".", "/", "~")) or name.count("/") > 1):
        what = f"{name!r} is no folder." if "/" in name else f"No network is called {name!r}.{nearest(name, NETWORKS)}"
        raise UserError(f"{what} Known: {', '.join(NETWORKS)}; or give a Hub id (org/name) or a folder.")
    for flag in ("stem", "dropout"):
        if getattr(settings, flag) is not None:
            raise UserError(
                f"--{flag} {getattr(settings, flag)} is for our own networks ({', '.join(NETWORKS)}), and --model {name}"
                " comes with its own: leave it out."
            )


def check_mixing(source: NetworkSource, mix: MixArguments) -> None:
    """Require what ``mix`` asks of the network, as far as can be told of a copy without weights."""
    check_members(source, mix)
    try:
        with torch.device("meta"):
            if source.pretrained is None:
                model: Any = build_network(
                    source.name, 2, source.size or 32, stem=source.settings.stem, **_extra(source, mix)
                )
            else:
                model = AutoModelForImageClassification.from_config(source.config)
    except UserError:
        raise
    except Exception:  # not every model can be built so: the real one is asked before anything is written
        return
    if source.size is not None or source.pretrained is not None:
        check_dropout(source, model, mix)
    check_sites_of(model, mix)


def check_members(source: NetworkSource, mix: MixArguments) -> None:
    """Require a network that is built with members, or one that has as many already."""
    if not mix.row.images_only or source.pretrained is None:
        return
    wanted, found = mix.filled(IMAGE).members, getattr(source.config, "members", None) or 1
    if wanted != found:
        raise UserError(
            f"method {mix.method!r} trains {wanted} members in one network, and --model {source.name} has {found}: it is for"
            f" networks of ours with random weights ({', '.join(NETWORKS)}), or a saved one with as many members."
        )


def check_sites_of(model: nn.Module, mix: MixArguments) -> None:
    """Require the model to have the site, and every mixer of the run to work there."""
    if not mix.mixes:
        return
    site = mix.filled(IMAGE).site
    assert site is not None
    for name in mix.mixers(IMAGE):
        ImageForward(model, name, site, mix.bn_mode, options=image_options(mix, name)).remove()


def check_dropout(source: NetworkSource, model: nn.Module, mix: MixArguments) -> None:
    """Require layers of dropout where a flag speaks of them."""
    layers = [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    if source.settings.dropout is not None and not layers:
        raise UserError(
            f"--dropout {source.settings.dropout:g} changes layers that {source.name} does not have: leave it out, or take"
            " vgg16_bn."
        )
    config: Any = model.config
    drops = {name: value for name, value in config.to_dict().items() if "drop" in name and isinstance(value, float)}
    compares = mix.row.step == "stochastic" or mix.weights["agree"] > 0
    if compares and not any(layer.p for layer in layers) and not any(drops.values()):
        flag = "--vwci" if mix.row.step == "stochastic" else "--w_agree"
        raise UserError(
            f"method {mix.row.name} ({flag}) compares passes with dropout, and {source.name} has none"
            f"{' with --dropout 0: raise it' if layers and source.pretrained is None else ': take vgg16_bn'}."
        )


def _extra(source: NetworkSource, mix: MixArguments) -> dict[str, Any]:
    """Settings of a network of ours beside its name and its images."""
    extra: dict[str, Any] = {} if source.settings.dropout is None else {"dropout": source.settings.dropout}
    if mix.row.images_only:
        filled = mix.filled(IMAGE)
        extra |= {name: getattr(filled, name) for name in ("members", "encoders", "heads", "ensemble_average")}
    return extra


def _processing(
    source: Pretrained, config: Any
) -> tuple[int | None, int | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Side, channels, mean and standard deviation of what the network was trained on."""
    channels, own = getattr(config, "num_channels", None), getattr(config, "image_size", None)
    try:
        processor = AutoImageProcessor.from_pretrained(source.path, **source.options())
    except Exception:  # a folder of weights alone is good enough: the data then says how it is normalised
        return own if isinstance(own, int) else None, channels, None, None
    if timm := getattr(processor, "data_config", None):  # the words of timm
        channels, _, size = timm["input_size"]
        return size, channels, tuple(timm["mean"]), tuple(timm["std"])
    crop = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    crop = crop or getattr(processor, "size", None) or {}
    size = own if isinstance(own, int) else crop.get("height") or crop.get("shortest_edge")
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if mean is None or std is None or not getattr(processor, "do_normalize", True):
        return size, channels, None, None
    return size, channels, tuple(mean), tuple(std)


def load_network(source: NetworkSource, data: ImageData, mix: MixArguments) -> tuple[PreTrainedModel, str]:
    """The classifier in float32 for this data, with as many members as the method trains, and what was done to its head,
    in words or ''.

    Raises:
        UserError: when it cannot be built for these images or loaded.
    """
    labels = dict(enumerate(data.label_names))
    if source.pretrained is None:
        model = build_network(
            source.name,
            len(labels),
            data.image_size,
            data.channels,
            source.settings.stem,
            id2label=labels,
            **_extra(source, mix),
        )
        return model, ""
    config, note = source.config, ""
    known = [str(name) for name in config.id2label.values()]
    if known != list(data.label_names):
        note = f"The head for {len(known)} labels is replaced by a new one for the {len(labels)} of this data."
    config.num_labels = len(labels)
    config.id2label, config.label2id = labels, {name: number for number, name in labels.items()}
    config.problem_type = data.problem
    _tell_timm(config, data)
    model, new = load_weights(
        AutoModelForImageClassification,
        source.pretrained,
        config,
        ignore_mismatched_sizes=bool(note),
        dtype="float32",
    )
    check_weights(source.pretrained, model, new)
    channels = find_sites(model).channels
    if channels is not None and channels != data.channels:
        raise UserError(
            f"--model {source.name} takes images of {channels} channels, the data has {data.channels}: give --channels"
            f" {channels}."
        )
    if note:
        # The same number of labels in another order or of other names: weights that fit in shape would be kept.
        for head in find_heads(model).values():
            model._init_weights(head)
    return model, note or told_new(source.pretrained, new)


def _tell_timm(config: Any, data: ImageData) -> None:
    """A configuration of timm says how images are prepared, and a processor beside it is not asked."""
    if isinstance(getattr(config, "model_args", None), dict):
        config.model_args.pop("num_classes", None)  # timm may have it there too, and transformers then gives it twice
    if isinstance(getattr(config, "pretrained_cfg", None), dict):
        size, stored = data.image_size, data.stored or data.image_size
        config.pretrained_cfg |= {
            "input_size": [data.channels, size, size],
            "mean": list(data.mean),
            "std": list(data.std),
            "crop_pct": size / stored,
            "crop_mode": "center",
            "interpolation": "bilinear",
        }


def with_shared_statistics(model: Any, training: Any) -> Any:
    """The network, with ``--sync_bn`` and several processes its BatchNorms over all of their images; it saves the same."""
    if not (training.sync_bn and training.world_size > 1):
        return model
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
