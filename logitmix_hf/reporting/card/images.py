"""What the card of an image classifier says otherwise than that of a text classifier."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]

OWN_NETWORKS = "logitmix_convnet"
"""The model type of the networks that this package brings along."""


def is_image(run: Record) -> bool:
    """Whether the run is of an image classifier."""
    return run.get("model", {}).get("pipeline_tag") == "image-classification"


def is_untrained(run: Record) -> bool:
    """Whether the network started from random weights: then it has no base model."""
    return run.get("model", {}).get("pretrained") is False


def network(run: Record) -> str:
    """What was trained from random weights, as the beginning of a sentence."""
    model = run.get("model", {})
    size = model.get("image_size")
    made_for = f" for images of {size} x {size} pixels" if size else ""
    count = model.get("parameters")
    weights = f" ({count / 1e6:.1f} M parameters)" if count else ""
    return f"`{model.get('base')}`{made_for}{weights} from random weights"


def own_network(run: Record) -> bool:
    """Whether the network is one of this package's own, which transformers knows only once it is imported."""
    return run.get("model", {}).get("type") == OWN_NETWORKS


def use_images(run: Record, location: str) -> str:
    """Lines that run, loading from ``location``."""
    ours = own_network(run)
    first = "import logitmix_hf  # makes this network known to transformers\n" if ours else ""
    call = f'classify = pipeline("image-classification", model={quoted(location)})'
    code = f'```python\n{first}from transformers import pipeline\n\n{call}\nprint(classify("picture.png"))\n```'
    return f"Install `logitmix_hf` first: the network is one of its own.\n\n{code}" if ours else code


def quoted(text: str) -> str:
    """As Python and JSON write it."""
    return json.dumps(text, ensure_ascii=False)


def images_read(data: Record) -> dict[str, str]:
    """Rows of the training table: how pictures become the network's input."""
    size, mean, std = data.get("image_size"), data.get("mean"), data.get("std")
    if not size or not mean or not std:
        return {}
    listed = ["(" + ", ".join(f"{value:.4f}" for value in values) + ")" for values in (mean, std)]
    rows = {
        "images": f"{size} x {size} pixels, {'grey' if data.get('channels') == 1 else 'colour'}",
        "normalisation": f"mean {listed[0]}, std {listed[1]}, from {data.get('statistics')}",
    }
    skipped = {name: count for name, count in (data.get("skipped") or {}).items() if count}
    return rows | ({"unreadable images left out": str(skipped)} if skipped else {})
