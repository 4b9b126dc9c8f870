"""What images are wanted: one value, made by a command's settings, checked when made, taken by everything that reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.data.request import DataRequest
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError
from logitmix_hf.vision.data.decode import MOST_PIXELS
from logitmix_hf.vision.data.folders import SPLITS, holds_class_folders
from logitmix_hf.vision.data.named import NAMED, find_named


@dataclass(frozen=True, kw_only=True)
class ImageRequest(DataRequest):
    """Which images to read, and what for.

    Attributes:
        dataset: a name in ``NAMED`` (before a folder of that name; ``./NAME`` is the folder), a data set of the Hub, a
            folder in its layout, or a folder of class folders (one level, or below train, val and test). With a
            ``validation_share`` of 0 the test split is judged where it has labels.
        image_column: default that of a known data set, or the only column of images.
        image_size: side of the square that images are resized to, see :func:`choose_shape` for the default.
        channels: 1 or 3; default by the data.
        skip_corrupt: leave out images that cannot be decoded, and warn how many.
        max_pixels: a larger image counts as one that cannot be decoded.
        cache_dir: where decoded pixels are kept; default beside the data sets that ``datasets`` keeps.
        memory_limit: bytes that decoded splits may take; more is streamed. Default half of the free memory.
        labelled: False: the images belong to no class; labels and class folders are not looked at, and none are needed.

    Raises:
        UserError: when made, without a data set and for numbers out of range. Nothing is read.
    """

    dataset: str
    image_column: str | None = None
    image_size: int | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    max_pixels: int = MOST_PIXELS
    cache_dir: str | Path | None = None
    memory_limit: int | None = None
    labelled: bool = True

    def __post_init__(self) -> None:
        if not self.dataset:
            raise UserError(
                f"No data was given: take a data set by name (--dataset cifar100; known: {', '.join(sorted(NAMED))}),"
                " any of the Hub (--dataset ORG/NAME) or a folder (--dataset ./FOLDER)."
            )
        super().__post_init__()
        self.check_counts(image_size=4, memory_limit=0)
        if self.channels not in (None, 1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (colour), got {self.channels!r}.")

    def _brings_none(self) -> bool:
        if (found := find_named(self.dataset)) is not None:
            return found[1].validation is None
        folder = expanded(self.dataset)
        return (
            folder.is_dir()
            and holds_class_folders(folder)
            and not any((folder / n).is_dir() for n in SPLITS["validation"])
        )
