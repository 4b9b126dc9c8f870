"""Images for classifiers: from a name or a folder to batches on the device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.vision.data.augment import Augment
    from logitmix_hf.vision.data.collate import ImageCollator, TellEpoch
    from logitmix_hf.vision.data.load import ImageData, load_image_data
    from logitmix_hf.vision.data.named import NAMED, Named
    from logitmix_hf.vision.data.request import ImageRequest
    from logitmix_hf.vision.data.sources import check_image_data
    from logitmix_hf.vision.data.splits import MemorySplit, StreamedSplit

__all__ = [
    "NAMED",
    "Augment",
    "ImageCollator",
    "ImageData",
    "ImageRequest",
    "MemorySplit",
    "Named",
    "StreamedSplit",
    "TellEpoch",
    "check_image_data",
    "load_image_data",
]

# Resolved on first use: the flags of a command need the names of data sets, and nothing that reads them.
_HOMES = {
    "NAMED": "named",
    "Augment": "augment",
    "ImageCollator": "collate",
    "ImageData": "load",
    "ImageRequest": "request",
    "MemorySplit": "splits",
    "Named": "named",
    "StreamedSplit": "splits",
    "TellEpoch": "collate",
    "check_image_data": "sources",
    "load_image_data": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
