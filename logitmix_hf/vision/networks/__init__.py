"""Convolutional networks for images of any size, as models of the Hub."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.vision.networks.config import ConvNetConfig
    from logitmix_hf.vision.networks.model import ConvNetForImageClassification, build_network
    from logitmix_hf.vision.networks.processor import image_processor
    from logitmix_hf.vision.networks.reference import load_reference_weights, reference_names
    from logitmix_hf.vision.networks.registration import register, register_when_needed
    from logitmix_hf.vision.networks.table import NETWORKS, STEMS, Network, network_names

__all__ = [
    "NETWORKS",
    "STEMS",
    "ConvNetConfig",
    "ConvNetForImageClassification",
    "Network",
    "build_network",
    "image_processor",
    "load_reference_weights",
    "network_names",
    "reference_names",
    "register",
    "register_when_needed",
]

# Resolved on first use: `import logitmix_hf` passes through here, and listing the names must not wait for torch.
_HOMES = {
    "NETWORKS": "table",
    "STEMS": "table",
    "Network": "table",
    "network_names": "table",
    "ConvNetConfig": "config",
    "ConvNetForImageClassification": "model",
    "build_network": "model",
    "image_processor": "processor",
    "load_reference_weights": "reference",
    "reference_names": "reference",
    "register": "registration",
    "register_when_needed": "registration",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
