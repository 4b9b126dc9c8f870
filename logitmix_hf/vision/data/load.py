"""One request for images (a name, a data set of the Hub, a folder) to splits that are ready to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from logitmix_hf.data.roles import Needs
from logitmix_hf.errors import UserError, check_number
from logitmix_hf.evaluation.predictions import SINGLE
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.cache import default_folder
from logitmix_hf.vision.data.choice import choose_rows
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.decode import scan
from logitmix_hf.vision.data.memory import free_memory
from logitmix_hf.vision.data.named import Named
from logitmix_hf.vision.data.reading import SplitReader
from logitmix_hf.vision.data.sizes import SCANNED, Shape, choose_shape
from logitmix_hf.vision.data.sources import RawSplit, Request, open_source
from logitmix_hf.vision.data.splits import MemorySplit, Split
from logitmix_hf.vision.data.statistics import statistics_of


@dataclass(frozen=True)
class ImageData:
    """The splits of one data set, what its labels mean, and what a network must be built for.

    train, validation, test: :class:`MemorySplit` or :class:`StreamedSplit`; the last two by the name of their
        predictions file. A split without labels (``labels`` None) has unknown ones. ``idx`` is the row's number in the
        split that it was read from, from 0.
    label_names: in the order of the label numbers.
    channels, image_size: of ``pixel_values`` (B, channels, image_size, image_size).
    mean, std: per channel, in units of [0, 1]; ``statistics`` says where they come from.
    augment: what is usual in training on this data.
    name: one word. source: what a card prints, never a local path; ``kind`` says whether it is "hub", "folder" or
        "builtin".
    fingerprint: 16 hex digits of the SHA-256 of label names, labels and encoded images (of each split all, or 10,000
        evenly spaced) as they are here, the same on every machine.
    metrics: the headline first.
    validation_note: where validation comes from, in words.
    skipped: how many images were left out as unreadable, by split.
    stored: side of the square that images are resized to before the centre is cut out; None: ``image_size``.
    calibration: rows that the temperature is fitted on, set apart from train; ``calibration_note`` says how.
    """

    train: Split | None
    validation: dict[str, Split]
    test: dict[str, Split]
    label_names: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    source: str
    kind: str
    fingerprint: str
    augment: Augment
    metrics: tuple[str, ...] = ("accuracy",)
    problem: str = SINGLE
    validation_note: str = ""
    statistics: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    stored: int | None = None
    calibration: Split | None = None
    calibration_note: str = ""

    @property
    def splits(self) -> dict[str, Split]:
        """All of them, "train" and "calibration" first where they are."""
        first = {"train": self.train, "calibration": self.calibration}
        return {**{key: split for key, split in first.items() if split is not None}, **self.validation, **self.test}

    def relabelled(self, label_names: Sequence[str], numbers: Sequence[int]) -> ImageData:
        """The same data with its class k as number ``numbers[k]`` of ``label_names``, of which there may be more."""
        made = {name: split.relabelled(numbers) for name, split in self.splits.items()}
        return replace(self._with(made), label_names=tuple(map(str, label_names)))

    def _with(self, splits: Mapping[str, Split]) -> ImageData:
        return replace(
            self,
            train=splits.get("train"),
            validation={name: splits[name] for name in self.validation},
            test={name: splits[name] for name in self.test},
            calibration=splits.get("calibration"),
        )

    @property
    def in_memory(self) -> bool:
        """Whether no split is streamed: then workers only cost time (``dataloader_num_workers`` 0)."""
        return all(isinstance(split, MemorySplit) for split in self.splits.values())

    def to(self, device: torch.device | str, share: float = 0.5) -> ImageData:
        """The same data with its pixels on a GPU, when they take at most ``share`` of its free memory; else itself.

        Batches then are made there; set ``dataloader_pin_memory`` to False, which only a CPU's tensors can be.
        """
        device = torch.device(device)
        if device.type == "cpu" or not self.in_memory:
            return self
        needed = sum(split.nbytes for split in self.splits.values() if isinstance(split, MemorySplit))
        if device.type == "cuda" and needed > share * torch.cuda.mem_get_info(device)[0]:
            return self
        return self._with(
            {name: split.to(device) for name, split in self.splits.items() if isinstance(split, MemorySplit)}
        )

    def collator(self, augment: Augment | None = None, device: torch.device | None = None) -> ImageCollator:
        """One collator for all splits; only rows of train are augmented."""
        return ImageCollator(self.splits, self.mean, self.std, augment, device=device)


def check_image_data(
    *,
    dataset: str | None = None,
    dataset_config: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    validation_share: float = 0.1,
    seed: int = 42,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    need_test: bool = False,
    image_size: int | None = None,
    channels: int | None = None,
    skip_corrupt: bool = False,
    cache_dir: str | Path | None = None,
    memory_limit: int | None = None,
    calibration_share: float | None = None,
    training: bool = True,
) -> Request:
    """The checks of :func:`load_image_data` that cost nothing, for the first second of a command.

    Raises:
        UserError: as there, as far as arguments and names of files tell.
    """
    check_number("validation_share", validation_share, low=0, high=0.9)
    if calibration_share is not None:
        check_number("calibration_split", calibration_share, low=0, high=0.9, open_low=True)
    whole = (
        ("max_train_samples", max_train_samples, 1),
        ("max_eval_samples", max_eval_samples, 1),
        ("image_size", image_size, 4),
        ("memory_limit", memory_limit, 0),
    )
    for name, value, low in whole:
        if value is not None:
            check_number(name, value, low=low)
            if not isinstance(value, int):
                raise UserError(f"{name} must be a whole number, got {value!r}.")
    if channels not in (None, 1, 3):
        raise UserError(f"channels must be 1 (grey) or 3 (colour), got {channels!r}.")
    return Request(dataset, dataset_config, image_column, label_column)


def load_image_data(
    *,
    dataset: str | None = None,
    dataset_config: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    validation_share: float = 0.1,
    seed: int = 42,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    need_test: bool = False,
    image_size: int | None = None,
    channels: int | None = None,
    skip_corrupt: bool = False,
    cache_dir: str | Path | None = None,
    memory_limit: int | None = None,
    calibration_share: float | None = None,
    training: bool = True,
) -> ImageData:
    """Read, check and decode the images that the arguments mean.

    Args:
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
        cache_dir: where decoded pixels are kept; default beside the data sets that ``datasets`` keeps.
        memory_limit: bytes that decoded splits may take; more is streamed. Default half of the free memory.
        calibration_share: this share of the rows kept for training is set apart, stratified, by ``seed``.
        training: False: a model that exists is judged. Train is read for ``calibration_share`` alone; without a
            validation split or folder the test split is judged, or the only split there is (a folder of class folders,
            itself); and one class is enough.

    Raises:
        UserError: for anything that the user can mend; the message is one line.
    """
    request = check_image_data(
        dataset=dataset, dataset_config=dataset_config, image_column=image_column, label_column=label_column,
        validation_share=validation_share, seed=seed, max_train_samples=max_train_samples,
        max_eval_samples=max_eval_samples, need_test=need_test, image_size=image_size, channels=channels,
        skip_corrupt=skip_corrupt, cache_dir=cache_dir, memory_limit=memory_limit, calibration_share=calibration_share,
        training=training,
    )  # fmt: skip
    source = open_source(request, Needs(need_test, training or calibration_share is not None, not training))
    choice = choose_rows(
        source, request, training=training, validation_share=validation_share, seed=seed,
        max_train_samples=max_train_samples, max_eval_samples=max_eval_samples, calibration_share=calibration_share,
    )  # fmt: skip
    wanted = choice.rows
    shown = source.train or next(raw for raw, _ in wanted.values())
    shape = _shape(shown, source.named, image_size, channels)
    needed = sum(len(chosen) for _, chosen in wanted.values()) * shape.stored**2 * shape.channels
    fits = needed <= (free_memory() // 2 if memory_limit is None else memory_limit)
    folder = Path(cache_dir).expanduser() if cache_dir else default_folder()
    reader = SplitReader(shape, fits, skip_corrupt, folder)
    for images in {id(split.images): split.images for split, _ in wanted.values()}.values():
        reader.read({key: part for key, part in wanted.items() if part[0].images is images})
    splits = reader.splits
    mean, std, statistics = statistics_of(splits, source.named, shape)
    return ImageData(
        train=splits.get("train"),
        validation={key: splits[key] for key in choice.judged},
        test={key: splits[key] for key in choice.tested},
        label_names=source.label_names,
        channels=shape.channels,
        image_size=shape.size,
        mean=mean,
        std=std,
        name=source.name,
        source=source.origin,
        kind=source.kind,
        fingerprint=reader.fingerprint(source.label_names),
        augment=replace(shape.augment, seed=seed),
        metrics=("accuracy", "top5_accuracy") if len(source.label_names) > 5 else ("accuracy",),
        validation_note=choice.note,
        statistics=statistics,
        skipped=reader.skipped,
        stored=shape.stored,
        calibration=splits.get("calibration"),
        calibration_note=choice.calibration_note,
    )


def _shape(train: RawSplit, named: Named | None, image_size: int | None, channels: int | None) -> Shape:
    if named is not None:
        return choose_shape(None, named, image_size, channels)
    rows = train.rows[np.linspace(0, len(train.rows) - 1, min(SCANNED, len(train.rows))).astype(np.int64)]
    found = scan(train.images, rows)
    if not len(found.sizes):
        raise UserError(f"{train.where} has no image that can be read, not even {train.images.name(int(rows[0]))}.")
    return choose_shape(found, None, image_size, channels)
