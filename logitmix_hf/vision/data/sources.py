"""Which data set a request means, and its splits with numbered labels and images still encoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from logitmix_hf.data.hub import GO_ON_IMAGES, is_folder, load_dataset_dict
from logitmix_hf.data.labels import tells_labels
from logitmix_hf.data.roles import Needs, by_file, find_judged, judged_splits, split_note, validation_splits
from logitmix_hf.data.rows import Columns
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.vision.data.columns import (
    find_image_column,
    find_label_column,
    label_values,
    number_labels,
    require_column,
)
from logitmix_hf.vision.data.decode import BoundedImages, RawImages
from logitmix_hf.vision.data.digits import load_digits
from logitmix_hf.vision.data.folders import holds_class_folders, read_class_folders, read_images
from logitmix_hf.vision.data.images import ArrayImages, DatasetImages, FileImages
from logitmix_hf.vision.data.named import NAMED, Named, find_named, unknown
from logitmix_hf.vision.data.request import ImageRequest


@dataclass(frozen=True)
class RawSplit:
    """One split. rows: of ``images``, ascending; labels: (N,) int64 beside them, None where they are unknown."""

    where: str
    images: RawImages
    rows: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class ImageSource:
    """Raw splits by their role.

    kind: "hub", "folder" or "builtin". name: one word for it. origin: what a card may print: never a path of this
    machine. note: where validation comes from, empty when a share of train must be held out. notes: what was surprising,
    one line each. called: what splits of validation and test are called where they come from, by their names here.
    """

    kind: str
    name: str
    origin: str
    label_names: tuple[str, ...]
    train: RawSplit | None
    validation: dict[str, RawSplit] = field(default_factory=dict)
    test: dict[str, RawSplit] = field(default_factory=dict)
    named: Named | None = None
    note: str = ""
    notes: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)


def check_image_data(request: ImageRequest) -> None:
    """Require a request's data set to look like one: what costs nothing, for the first second of a command.

    Raises:
        UserError: for a name near to a known one, a file, a path to nothing, and columns or a configuration for what has
            none.
    """
    if request.dataset not in NAMED:
        packed = request.dataset.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".rar", ".7z"))
        do = "unpack it, and give the folder" if packed else "give the folder that it lies in"
        folder = is_folder(request.dataset, if_file=do, example="uoft-cs/cifar100")
        if not folder and "/" not in request.dataset and nearest(request.dataset, NAMED):
            raise unknown(request.dataset)
        if not folder or not holds_class_folders(expanded(request.dataset)):
            return
    elif request.dataset != "digits":
        return
    for flag in ("dataset_config", "image_column", "label_column"):
        if (value := getattr(request, flag)) is not None:
            raise UserError(
                f"--{flag} {value} does not fit --dataset {request.dataset}, which has no columns; leave it out."
            )


def bounded(source: ImageSource, max_pixels: int) -> ImageSource:
    """The same, of whose images none above so many pixels is decoded."""
    made: dict[int, BoundedImages] = {}

    def bound(split: RawSplit) -> RawSplit:
        return replace(split, images=made.setdefault(id(split.images), BoundedImages(split.images, max_pixels)))

    return replace(
        source,
        train=None if source.train is None else bound(source.train),
        validation={name: bound(split) for name, split in source.validation.items()},
        test={name: bound(split) for name, split in source.test.items()},
    )


def open_source(request: ImageRequest) -> ImageSource:
    """Read labels and find images; nothing is decoded. Splits that are not needed are left out.

    Raises:
        UserError: for what cannot be read, a split or column that is missing, labels that are none, or the Hub out of
            reach.
    """
    dataset, needs = request.dataset, request.needs
    if dataset == "digits":
        source = _digits(needs)
        if request.labelled:
            return source
        bare = {name: replace(split, labels=None) for name, split in source.validation.items()}
        return replace(source, label_names=(), validation=bare)
    if dataset not in NAMED and is_folder(dataset):
        folder = expanded(dataset)
        if holds_class_folders(folder):
            return _class_folders(folder, needs) if request.labelled else _images_alone(folder)
    return _data_set(request)


def _digits(needs: Needs) -> ImageSource:
    pixels, labels, rows = load_digits()
    images = ArrayImages(pixels, "digits")
    splits = {
        name: RawSplit(f"split {name!r} of digits", images, chosen, labels[chosen]) for name, chosen in rows.items()
    }
    test = {"test": splits["test"]} if needs.test else {}
    train = splits["train"] if needs.train else None
    names = tuple(map(str, range(10)))
    note = "the split validation (a fifth of each class, the same in every run)"
    validation, called = {"validation": splits["validation"]}, {name: name for name in splits}
    return ImageSource(
        "builtin", "digits", "digits", names, train, validation, test, NAMED["digits"], note, called=called
    )


def _images_alone(folder: Path) -> ImageSource:
    found, word = read_images(folder), folder.resolve().name
    split = RawSplit(f"the folder {word!r}", FileImages(folder, found.paths), np.arange(len(found.paths)), None)
    called, note = {"validation": found.folder}, f"the folder {found.folder}"
    return ImageSource(
        "folder", word, word, (), None, {"validation": split}, note=note, notes=found.notes, called=called
    )


def _class_folders(folder: Path, needs: Needs) -> ImageSource:
    found = read_class_folders(folder, training=needs.train)
    if needs.test and "test" not in found:
        raise UserError(f"{folder} has no folder 'test' for --do_predict.")
    usable = [
        role for role, split in found.items() if None not in split.classes and not (needs.train and role == "train")
    ]
    held = judged_splits(str(folder), usable) if needs.judged else validation_splits(found)
    first = found["train" if needs.train else held[0]]
    names = tuple(sorted({str(name) for name in first.classes}, key=_in_order))
    if len(names) == 1 and not needs.judged:
        raise UserError(f"{folder} has a single class folder, {names[0]!r}; there is nothing to learn.")
    number = {name: index for index, name in enumerate(names)}
    splits: dict[str, RawSplit] = {}
    wanted = {"train": needs.train, "test": needs.test, **dict.fromkeys(held, True)}
    for role in (role for role, needed in wanted.items() if needed):
        split = found[role]
        known = None not in split.classes
        labels = np.array([number[str(one)] for one in split.classes], np.int64) if known else None
        where = f"the folder {split.folder!r}"
        splits[role] = RawSplit(where, FileImages(folder, split.paths), np.arange(len(split.paths)), labels)
    word, roles = folder.resolve().name, by_file(held)
    validation = {key: splits[role] for key, role in roles.items()}
    test = {"test": splits["test"]} if needs.test and "test" not in held else {}
    called = {key: found[role].folder for key, role in {**roles, **dict.fromkeys(test, "test")}.items()}
    note = f"the folder {found[held[0]].folder}" if held else ""
    train = splits["train"] if needs.train else None
    notes = tuple(dict.fromkeys(line for role in splits for line in found[role].notes))
    return ImageSource("folder", word, word, names, train, validation, test, note=note, notes=notes, called=called)


def _in_order(name: str) -> tuple[float, str]:
    """Names by their letters; those that are numbers by their value, before them, as the labels of a table are."""
    return (int(name) if name.isascii() and name.isdigit() else math.inf, name)


def _data_set(request: ImageRequest) -> ImageSource:
    dataset, needs = request.dataset, request.needs
    name, named = find_named(dataset) or (None, None)
    folder = dataset not in NAMED and is_folder(dataset)
    place = named.hub if named and named.hub and not folder else dataset
    try:
        found = load_dataset_dict(place, request.dataset_config, GO_ON_IMAGES)
    except UserError as error:
        if folder and (packed := sorted(one.name for one in expanded(dataset).rglob("*.zip"))):
            raise UserError(
                f"{error} It holds archives ({listed(packed, 3)}): unpack them, a folder a class."
            ) from error
        if folder or named:
            raise
        raise unknown(dataset, str(error)) from error
    called = find_judged(dataset, found, needs)
    held = list(called.values())
    chosen = {**({"train": "train"} if needs.train else {}), **called, **({"test": "test"} if needs.test else {})}
    where = {role: f"split {split!r} of {dataset}" for role, split in chosen.items()}
    first = next(iter(chosen))
    features = found[chosen[first]].features
    image = find_image_column(where[first], features, request.image_column, named.image if named else None)
    label = (
        find_label_column(where[first], features, request.label_column, named.label if named else None)
        if request.labelled
        else ""
    )
    columns: dict[str, Columns] = {}
    for role, split in chosen.items():
        features = found[split].features
        require_column(where[role], features, image, "image_column")
        if not request.labelled:
            continue
        unlabelled = role == "test" and split not in held
        if not unlabelled or label in features:
            require_column(where[role], features, label, "label_column")
            column = label_values(where[role], found[split], label)
            if not unlabelled or tells_labels(column, label, columns.get(first, column)):
                columns[role] = column
    label_names, numbers, notes = number_labels(columns, label, learns=not needs.judged) if columns else ((), {}, ())
    splits = {
        role: RawSplit(
            where[role],
            DatasetImages(found[split], image, where[role]),
            np.arange(len(found[split])),
            numbers.get(role),
        )
        for role, split in chosen.items()
    }
    origin = named.hub if named and named.hub else expanded(dataset).resolve().name if folder else dataset
    word = name or request.dataset_config or origin.rpartition("/")[2]
    return ImageSource(
        kind="folder" if folder else "hub",
        name=word,
        origin=origin,
        label_names=label_names,
        train=splits.get("train"),
        validation={key: splits[key] for key in called},
        test={"test": splits["test"]} if needs.test and "test" not in held else {},
        named=named,
        note=split_note(held),
        notes=notes,
        called=chosen,
    )
