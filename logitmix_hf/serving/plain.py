"""A network that was trained with several members (MIMO, MixMo) as the plain network that gives the same logits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from logitmix_hf.errors import UserError
from logitmix_hf.serving.classifier import find_classifier
from logitmix_hf.serving.export import folder_for, staged
from logitmix_hf.serving.host import bars_for_people
from logitmix_hf.vision.networks import collapsed

FILE = "model.safetensors"
_TOLERANCE = 1e-4
"""Largest difference of a logit that is let pass, in relation to the largest one."""


@dataclass(frozen=True)
class PlainNetwork:
    """What was written: its folder, the members it had, parameters before and after, the largest difference of a logit."""

    folder: Path
    members: int
    before: int
    after: int
    difference: float


def export_plain(
    name: str,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    revision: str = "main",
    token: str | None = None,
) -> PlainNetwork:
    """Write the plain network beside its image processor: it loads, predicts and exports as any other.

    Args:
        name: as :func:`~logitmix_hf.serving.classifier.load_classifier` takes it.
        output: the folder; default ``plain`` within a local model, ``plain-NAME`` here for one of the Hub.

    Raises:
        UserError: for a model without members, one that averages probabilities, or a folder that holds something.
    """
    found = find_classifier(name, revision, token)
    folder = folder_for(name, output, "plain", FILE, overwrite)
    with bars_for_people():
        classifier = found.load("cpu")
    network: Any = classifier.model
    members = getattr(network.config, "members", None) or 1
    if members == 1:
        raise UserError(
            f"{name!r} has one member: it is a plain network already. --format plain is for what --method cut_mixmo,"
            " linear_mixmo or mimo trained."
        )
    plain = collapsed(network)
    difference = _difference(network, plain)
    with staged(folder, FILE) as staging:
        plain.save_pretrained(staging)
        classifier.processor.save_pretrained(staging)
    before, after = (sum(parameter.numel() for parameter in one.parameters()) for one in (network, plain))
    return PlainNetwork(folder, members, before, after, difference)


@torch.no_grad()
def _difference(network: Any, plain: Any) -> float:
    """The largest difference of a logit on images of noise.

    Raises:
        UserError: when it is more than rounding.
    """
    config, draw = network.config, torch.Generator().manual_seed(0)
    images = torch.randn(8, config.num_channels, config.image_size, config.image_size, generator=draw)
    wanted, got = network.eval()(images).logits, plain.eval()(images).logits
    difference = float((wanted - got).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise UserError(
            f"The plain network gives other logits (largest difference {difference:.1e}), so nothing was written."
        )
    return difference
