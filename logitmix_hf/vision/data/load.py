"""One request for images (a name, a data set of the Hub, a folder) to splits that are ready to train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from logitmix_hf.data.roles import HELD_OUT, name_judged, name_tested
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import SINGLE
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.cache import default_folder
from logitmix_hf.vision.data.choice import choose_rows
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.decode import scan
from logitmix_hf.vision.data.memory import free_memory
from logitmix_hf.vision.data.named import Named
from logitmix_hf.vision.data.reading import SplitReader
from logitmix_hf.vision.data.request import ImageRequest
from logitmix_hf.vision.data.sizes import SCANNED, Shape, choose_shape
from logitmix_hf.vision.data.sources import RawSplit, bounded, check_image_data, open_source
from logitmix_hf.vision.data.splits import MemorySplit, Split
from logitmix_hf.vision.data.statistics import statistics_of


@dataclass(frozen=True, kw_only=True)
class ImageData(TaskData[Split]):
    """The splits of one data set of images, what its labels mean, and what a network must be built for.

    Splits are :class:`MemorySplit` or :class:`StreamedSplit`; ``labels`` is None where they are unknown. The fingerprint is
    of label names, labels and encoded images (of each split all, or 10,000 evenly spaced).

    Attributes:
        channels, image_size: of ``pixel_values`` (B, channels, image_size, image_size).
        mean, std: per channel, in units of [0, 1].
        augment: what is usual in training on this data.
        statistics: where mean and std come from.
        skipped: how many images were left out as unreadable, by split.
        stored: side of the square that images are resized to before the centre is cut out; None: ``image_size``.
    """

    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment
    metrics: tuple[str, ...] = ("accuracy",)
    problem: str = SINGLE
    statistics: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    stored: int | None = None

    def relabelled(self, label_names: Sequence[str], numbers: Sequence[int]) -> ImageData:
        """The same data with its class k as number ``numbers[k]`` of ``label_names``, of which there may be more."""
        made = {name: split.relabelled(numbers) for name, split in self.splits.items()}
        return self.with_splits(made, label_names=tuple(map(str, label_names)))

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
        return self.with_splits(
            {name: split.to(device) for name, split in self.splits.items() if isinstance(split, MemorySplit)}
        )

    def collator(
        self, augment: Augment | None = None, device: torch.device | None = None, beside: Iterable[Split] = ()
    ) -> ImageCollator:
        """One collator for all splits and those ``beside`` them; only rows of train are augmented."""
        splits = {**self.splits, **{split.name: split for split in beside}}
        return ImageCollator(splits, self.mean, self.std, augment, device=device)


def load_image_data(request: ImageRequest) -> ImageData:
    """Read, check and decode the images that a request means.

    Raises:
        UserError: for anything that the user can mend; the message is one line.
    """
    check_image_data(request)
    source = bounded(open_source(request), request.max_pixels)
    choice = choose_rows(source, request)
    wanted = choice.rows
    sample_split = source.train or next(raw for raw, _ in wanted.values())
    shape = _shape(sample_split, source.named, request.image_size, request.channels)
    needed = sum(len(chosen) for _, chosen in wanted.values()) * shape.stored**2 * shape.channels
    fits = needed <= (free_memory() // 2 if request.memory_limit is None else request.memory_limit)
    folder = expanded(request.cache_dir) if request.cache_dir else default_folder()
    reader = SplitReader(shape, fits, request.skip_corrupt or request.skips, folder)
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
        augment=replace(shape.augment, seed=request.seed),
        metrics=("accuracy", "top5_accuracy") if len(source.label_names) > 5 else ("accuracy",),
        judged=name_judged({key: choice.called.get(key, HELD_OUT) for key in choice.judged}),
        tested=name_tested({key: choice.called[key] for key in choice.tested if splits[key].labels is not None}),
        validation_note=choice.note,
        statistics=statistics,
        skipped=reader.skipped,
        stored=shape.stored,
        calibration=splits.get("calibration"),
        calibration_note=choice.calibration_note,
        notes=source.notes,
        left_out=reader.left_out,
    )


def _shape(train: RawSplit, named: Named | None, image_size: int | None, channels: int | None) -> Shape:
    if named is not None:
        return choose_shape(None, named, image_size, channels)
    rows = train.rows[np.linspace(0, len(train.rows) - 1, min(SCANNED, len(train.rows))).astype(np.int64)]
    found = scan(train.images, rows)
    if not len(found.sizes):
        raise UserError(f"{train.where} has no image that can be read, not even {train.images.name(int(rows[0]))}.")
    return choose_shape(found, None, image_size, channels)
