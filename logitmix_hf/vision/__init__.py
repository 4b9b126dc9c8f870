"""Images: mixers, networks and data; the same plan and the same loss as for text."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.vision.forward import ImageForward
    from logitmix_hf.vision.mixers import MIXERS
    from logitmix_hf.vision.network_table import NETWORKS
    from logitmix_hf.vision.networks import build_network

__all__ = ["MIXERS", "NETWORKS", "ImageForward", "build_network"]

# Resolved on first use: MixArguments reads names of mixers and networks below, and must not wait for torch.
_HOMES = {"ImageForward": "forward", "MIXERS": "mixers", "NETWORKS": "network_table", "build_network": "networks"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
