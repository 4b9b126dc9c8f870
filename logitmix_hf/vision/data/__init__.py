"""Images for classifiers: from a name or a folder to batches on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.lazy import lazy_names

if TYPE_CHECKING:
    from logitmix_hf.vision.data.augment import Augment
    from logitmix_hf.vision.data.collate import ImageCollator, TellEpoch
    from logitmix_hf.vision.data.load import ImageData, load_image_data
    from logitmix_hf.vision.data.named import NAMED, Named
    from logitmix_hf.vision.data.request import ImageRequest
    from logitmix_hf.vision.data.sources import check_image_data
    from logitmix_hf.vision.data.splits import MemorySplit, StreamedSplit
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "augment": ["Augment"],
            "collate": ["ImageCollator", "TellEpoch"],
            "load": ["ImageData", "load_image_data"],
            "named": ["NAMED", "Named"],
            "request": ["ImageRequest"],
            "sources": ["check_image_data"],
            "splits": ["MemorySplit", "StreamedSplit"],
        },
    )

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
