"""Weights of the reference definitions: how their names map to ours, and loading them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from logitmix_hf.errors import UserError, listed
from logitmix_hf.models.heads import find_heads
from logitmix_hf.vision.network_table import read_name
from logitmix_hf.vision.networks.model import ConvNetForImageClassification, chosen_stem, is_torchvision, label_count
from logitmix_hf.vision.networks.photographs import torchvision_network, torchvision_parts

# From our names to those of weiaicunzai/pytorch-cifar100; # stands for a number, +k adds k to it.
_RULES = {
    "resnet": (
        ("stem.", "conv1."), ("stages.#.#.residual.", "conv#+2_x.#.residual_function."),
        ("stages.#.#.shortcut.", "conv#+2_x.#.shortcut."), ("classifier.", "fc."),
    ),
    "resnext": (
        ("stem.", "conv1."), ("stages.#.#.residual.", "conv#+2.#.split_transforms."),
        ("stages.#.#.shortcut.", "conv#+2.#.shortcut."), ("classifier.", "fc."),
    ),
    "mobilenetv2": (
        ("stem.", "pre."), ("stages.0.0.", "stage1."), ("stages.6.0.", "stage7."), ("stages.#.", "stage#+1."),
        ("neck.", "conv1."), ("classifier.0.", "conv2."),
    ),
    "shufflenetv2": (("stem.", "pre."), ("stages.#.", "stage#+2."), ("neck.", "conv5."), ("classifier.", "fc.")),
}  # fmt: skip


def reference_names(model: ConvNetForImageClassification) -> dict[str, str]:
    """For each tensor of the reference definition, its name in ours.

    The reference is torchvision's network, or that of weiaicunzai/pytorch-cifar100 with a CIFAR stem.

    Raises:
        UserError: for a network that follows no definition with weights of its own.
    """
    config = model.config
    named, stem = read_name(config.architecture), chosen_stem(config)
    name = named.row.name
    if is_torchvision(named, stem):
        # The same modules under two sets of names: what is one tensor in both belongs together.
        with torch.device("meta"):
            network = torchvision_network(name, stem, config.num_channels, label_count(config), config.dropout)
        theirs = {id(tensor): key for key, tensor in network.state_dict(keep_vars=True).items()}
        parts = torchvision_parts(name, network)
        ours: dict[str, str] = {}
        for prefix, part in (
            ("stem", parts.stem), *((f"stages.{number}", stage) for number, stage in enumerate(parts.stages)),
            ("neck", parts.neck), ("classifier", parts.head),
        ):  # fmt: skip
            for key, tensor in part.state_dict(keep_vars=True).items():
                ours[theirs[id(tensor)]] = f"{prefix}.{key}"
        return ours
    keys = list(model.state_dict())
    if name == "vgg16_bn":
        starts = [0]
        for stage in model.stages:
            starts.append(starts[-1] + len(stage))  # type: ignore[arg-type]
        numbered = re.compile(r"stages\.(\d+)\.(\d+)\.")
        return {numbered.sub(lambda at: f"features.{starts[int(at[1])] + int(at[2])}.", key): key for key in keys}
    family = "resnet" if name in ("resnet18", "resnet50") else "resnext" if name == "resnext50" else name
    if family not in _RULES:
        raise UserError(
            f"{config.architecture} follows no definition with published weights: load your own with from_pretrained."
        )
    return {_renamed(key, _RULES[family]): key for key in keys}


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for ours, theirs in rules:
        if match := re.match(re.escape(ours).replace(r"\#", r"(\d+)"), key):
            numbers = iter(match.groups())
            start = re.sub(r"#(?:\+(\d))?", lambda found: str(int(next(numbers)) + int(found[1] or 0)), theirs)  # noqa: B023
            return start + key[match.end() :]
    raise AssertionError(key)  # every part of a network has a rule


def load_reference_weights(
    model: ConvNetForImageClassification, state_dict: Mapping[str, Tensor], head: bool = True
) -> None:
    """Load weights of the reference definition into ``model``, in place.

    Args:
        model: of :func:`build_network`.
        state_dict: of torchvision's network, or of pytorch-cifar100's where the stem is CIFAR's; also when saved from
            inside ``DataParallel``.
        head: False leaves the last layer as it is, for another number of classes.

    Raises:
        UserError: naming tensors that are missing, unknown, or of another shape; nothing is loaded then.
    """
    names = reference_names(model)
    given = {key.removeprefix("module."): tensor for key, tensor in state_dict.items()}
    own = model.state_dict()
    last = tuple(f"{head}." for head in find_heads(model))
    if not head:
        given = {key: tensor for key, tensor in given.items() if not names.get(key, "").startswith(last)}
        names = {theirs: ours for theirs, ours in names.items() if not ours.startswith(last)}
    architecture, source = model.config.architecture, _source(model)
    optional = {key for key in names if key.endswith("num_batches_tracked")}
    if missing := [key for key in names if key not in given and key not in optional]:
        raise UserError(f"These are no weights of {architecture} as {source} defines it: {listed(missing, 3)} missing.")
    if unknown := [key for key in given if key not in names]:
        raise UserError(
            f"These are no weights of {architecture} as {source} defines it: {listed(unknown, 3)} too many."
        )
    for theirs, ours in names.items():
        if theirs in given and given[theirs].shape != own[ours].shape:
            hint = " (head=False leaves the last layer random)" if ours.startswith(last) else ""
            raise UserError(
                f"{theirs} has the shape {tuple(given[theirs].shape)}, {architecture} here needs"
                f" {tuple(own[ours].shape)}{hint}."
            )
    model.load_state_dict({ours: given[theirs] for theirs, ours in names.items() if theirs in given}, strict=False)


def _source(model: ConvNetForImageClassification) -> str:
    return read_name(model.config.architecture).row.source[chosen_stem(model.config)].split(",")[0]
