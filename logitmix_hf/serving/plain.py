"""A network that was trained with several members (MIMO, MixMo) as the plain network that gives the same logits."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError
from logitmix_hf.serving.classifier import find_classifier
from logitmix_hf.serving.export import check_folder, move_into
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
    local = expanded(name)
    last = name.rstrip("/").rpartition("/")[2]
    folder = Path(output) if output is not None else local / "plain" if local.is_dir() else Path(f"plain-{last}")
    check_folder(folder, FILE, overwrite, local)
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        plain.save_pretrained(staging)
        classifier.processor.save_pretrained(staging)
        move_into(folder, staging, FILE)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return PlainNetwork(folder, members, _count(network), _count(plain), difference)


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


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
