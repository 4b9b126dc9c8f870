"""What images are wanted: one value, made by a command's settings, checked when made, taken by everything that reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.data.roles import Needs
from logitmix_hf.errors import UserError, check_number
from logitmix_hf.vision.data.decode import MOST_PIXELS
from logitmix_hf.vision.data.named import NAMED


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """Which images to read, and what for. One that differs in a field is made by ``dataclasses.replace``.

    Attributes:
        dataset: a name in ``NAMED`` (before a folder of that name; ``./NAME`` is the folder), a data set of the Hub, a
            folder in its layout, or a folder of class folders (one level, or below train, val and test).
        dataset_config: its configuration, where it has several.
        image_column, label_column: default: those of a known data set, the only column of images, and "label".
        validation_share: where there is no validation split (``data.roles``) or folder, this share of train is
            held out, stratified, by ``seed``; 0: none, and the test split is judged where it has labels.
        max_train_samples: keep so many rows of train, drawn by ``seed``.
        max_eval_samples: keep so many rows of each validation split, the same whatever the seed: their order often is
            that of the classes. Test splits are always whole.
        need_test: read the test split too.
        image_size: side of the square that images are resized to, see :func:`choose_shape` for the default.
        channels: 1 or 3; default by the data.
        skip_corrupt: leave out images that cannot be decoded, and warn how many.
        max_pixels: a larger image counts as one that cannot be decoded.
        cache_dir: where decoded pixels are kept; default beside the data sets that ``datasets`` keeps.
        memory_limit: bytes that decoded splits may take; more is streamed. Default half of the free memory.
        calibration_share: this share of the rows kept for training is set apart, stratified, by ``seed``.
        training: False: a model that exists is judged. Train is read for ``calibration_share`` alone; without a
            validation split or folder the test split is judged, or the only split there is (a folder of class folders,
            itself); and one class is enough.

    Raises:
        UserError: when made, without a data set and for numbers out of range. Nothing is read.
    """

    dataset: str
    dataset_config: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    validation_share: float = 0.1
    seed: int = 42
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    need_test: bool = False
    image_size: int | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    max_pixels: int = MOST_PIXELS
    cache_dir: str | Path | None = None
    memory_limit: int | None = None
    calibration_share: float | None = None
    training: bool = True

    def __post_init__(self) -> None:
        if not self.dataset:
            raise UserError(
                f"No data was given: take a data set by name (--dataset cifar100; known: {', '.join(sorted(NAMED))}),"
                " any of the Hub (--dataset ORG/NAME) or a folder (--dataset ./FOLDER)."
            )
        check_number("validation_share", self.validation_share, low=0, high=0.9)
        if self.calibration_share is not None:
            check_number("calibration_split", self.calibration_share, low=0, high=0.9, open_low=True)
        for name, low in (("max_train_samples", 1), ("max_eval_samples", 1), ("image_size", 4), ("memory_limit", 0)):
            if (value := getattr(self, name)) is not None:
                check_number(name, value, low=low)
                if not isinstance(value, int):
                    raise UserError(f"{name} must be a whole number, got {value!r}.")
        if self.channels not in (None, 1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (colour), got {self.channels!r}.")

    @property
    def needs(self) -> Needs:
        """What is to be done with the splits."""
        return Needs(self.need_test, self.training or self.calibration_share is not None, not self.training)
