"""Which data set a request means, and its splits with numbered labels and images still encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.data.hub import GO_ON_IMAGES, is_folder, load_dataset_dict
from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.vision.data.decode import RawImages
from logitmix_hf.vision.data.digits import load_digits
from logitmix_hf.vision.data.folders import holds_class_folders, read_class_folders
from logitmix_hf.vision.data.images import ArrayImages, DatasetImages, FileImages
from logitmix_hf.vision.data.labels import LabelColumn, number_labels
from logitmix_hf.vision.data.named import NAMED, Named, find_named, unknown

VALIDATION_NAMES = ("validation", "valid", "val", "dev")
"""Splits taken for validation: the first that exists. A test split is never used in their place: then a share of train
is held out."""


@dataclass(frozen=True)
class RawSplit:
    """One split. rows: of ``images``, ascending; labels: (N,) int64 beside them, None where they are unknown."""

    where: str
    images: RawImages
    rows: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class Source:
    """Raw splits by their role.

    kind: "hub", "folder" or "builtin". name: one word for it. origin: what a card may print: never a path of this
    machine. note: where validation comes from, empty when a share of train must be held out. key: of each set of
    encoded images for the cache, by split, where it has one.
    """

    kind: str
    name: str
    origin: str
    label_names: tuple[str, ...]
    train: RawSplit
    validation: dict[str, RawSplit] = field(default_factory=dict)
    test: dict[str, RawSplit] = field(default_factory=dict)
    named: Named | None = None
    note: str = ""


@dataclass(frozen=True)
class Request:
    """What data was asked for; arguments as in :func:`logitmix_hf.vision.data.load.load_image_data`.

    Raises:
        UserError: when made, for a data set that can be none: a name near to a known one, a file, a path to nothing,
            and columns or a configuration for what has none.
    """

    dataset: str | None
    config: str | None = None
    image_column: str | None = None
    label_column: str | None = None

    def __post_init__(self) -> None:
        if not self.dataset:
            raise UserError(
                f"No data was given: take a data set by name (--dataset cifar100; known: {', '.join(sorted(NAMED))}),"
                " any of the Hub (--dataset ORG/NAME) or a folder (--dataset ./FOLDER)."
            )
        if self.dataset not in NAMED:
            folder = is_folder(self.dataset, if_file="give the folder that it lies in", example="uoft-cs/cifar100")
            if not folder and "/" not in self.dataset and nearest(self.dataset, NAMED):
                raise unknown(self.dataset)
            if not folder or not holds_class_folders(Path(self.dataset).expanduser()):
                return
        elif self.dataset != "digits":
            return
        for flag, value in (
            ("dataset_config", self.config),
            ("image_column", self.image_column),
            ("label_column", self.label_column),
        ):
            if value is not None:
                raise UserError(
                    f"--{flag} {value} does not fit --dataset {self.dataset}, which has no columns; leave it out."
                )


def open_source(request: Request, need_test: bool) -> Source:
    """Read labels and find images; nothing is decoded.

    Raises:
        UserError: for what cannot be read, a split or column that is missing, labels that are none, or the Hub out of
            reach.
    """
    dataset = request.dataset or ""
    if dataset == "digits":
        return _digits(need_test)
    if dataset not in NAMED and is_folder(dataset):
        folder = Path(dataset).expanduser()
        if holds_class_folders(folder):
            return _class_folders(folder, need_test)
    return _data_set(request, need_test)


def _digits(need_test: bool) -> Source:
    pixels, labels, rows = load_digits()
    images = ArrayImages(pixels, "digits")
    splits = {
        name: RawSplit(f"split {name!r} of digits", images, chosen, labels[chosen]) for name, chosen in rows.items()
    }
    test = {"test": splits["test"]} if need_test else {}
    names = tuple(map(str, range(10)))
    note = "the split validation (a fifth of each class, the same in every run)"
    validation = {"validation": splits["validation"]}
    return Source("builtin", "digits", "digits", names, splits["train"], validation, test, NAMED["digits"], note)


def _class_folders(folder: Path, need_test: bool) -> Source:
    found = read_class_folders(folder)
    if need_test and "test" not in found:
        raise UserError(f"{folder} has no folder 'test' for --do_predict.")
    names = tuple(sorted({str(name) for name in found["train"].classes}))
    if len(names) < 2:
        raise UserError(f"{folder} has a single class folder, {names[0]!r}; there is nothing to learn.")
    number = {name: index for index, name in enumerate(names)}
    splits: dict[str, RawSplit] = {}
    for role, split in found.items():
        known = None not in split.classes
        labels = np.array([number[str(one)] for one in split.classes], np.int64) if known else None
        where = f"the folder {split.folder!r}"
        splits[role] = RawSplit(where, FileImages(folder, split.paths), np.arange(len(split.paths)), labels)
    word = folder.resolve().name
    validation = {"validation": splits["validation"]} if "validation" in splits else {}
    test = {"test": splits["test"]} if need_test else {}
    note = f"the folder {found['validation'].folder}" if validation else ""
    return Source("folder", word, word, names, splits["train"], validation, test, note=note)


def _data_set(request: Request, need_test: bool) -> Source:
    dataset = request.dataset or ""
    name, named = find_named(dataset) or (None, None)
    folder = dataset not in NAMED and is_folder(dataset)
    place = named.hub if named and named.hub and not folder else dataset
    try:
        found = load_dataset_dict(place, request.config, GO_ON_IMAGES)
    except UserError as error:
        if folder or named:
            raise
        raise unknown(dataset, str(error)) from error
    if "train" not in found:
        raise UserError(f"{dataset} has no split 'train'; it has {listed(list(found))}.")
    if need_test and "test" not in found:
        raise UserError(f"{dataset} has no split 'test' for --do_predict; it has {listed(list(found))}.")
    held = [split for split in VALIDATION_NAMES if split in found][:1]
    chosen = {"train": "train", **{"validation": split for split in held}, **({"test": "test"} if need_test else {})}
    where = {role: f"split {split!r} of {dataset}" for role, split in chosen.items()}
    features = found["train"].features
    image = find_image_column(where["train"], features, request.image_column, named.image if named else None)
    label = find_label_column(where["train"], features, request.label_column, named.label if named else None)
    columns: dict[str, LabelColumn] = {}
    for role, split in chosen.items():
        for column, flag in ((image, "image_column"), (label, "label_column")):
            if column not in found[split].column_names and not (role == "test" and column == label):
                raise UserError(
                    f"{where[role]} has no column {column!r}; it has {listed(found[split].column_names)}. See --{flag}."
                )
        if label in found[split].column_names:
            column = _label_values(where[role], found[split], label)
            if role != "test" or column.complete:
                columns[role] = column
    label_names, numbers = number_labels(columns)
    splits = {
        role: RawSplit(
            where[role],
            DatasetImages(found[split], image, where[role]),
            np.arange(len(found[split])),
            numbers.get(role),
        )
        for role, split in chosen.items()
    }
    origin = named.hub if named and named.hub else Path(dataset).expanduser().resolve().name if folder else dataset
    word = name or request.config or origin.rpartition("/")[2]
    return Source(
        kind="folder" if folder else "hub",
        name=word,
        origin=origin,
        label_names=label_names,
        train=splits["train"],
        validation={"validation": splits["validation"]} if "validation" in splits else {},
        test={"test": splits["test"]} if "test" in splits else {},
        named=named,
        note=f"the split {held[0]}" if held else "",
    )


def _label_values(where: str, split: Any, column: str) -> LabelColumn:
    values = split.with_format("arrow").select_columns([column])[:].column(column).to_pylist()
    values = [None if value != value else value for value in values]  # NaN is the one value unequal to itself
    return LabelColumn(where, column, values, tuple(getattr(split.features[column], "names", None) or ()))


def find_image_column(where: str, features: Mapping[str, Any], asked: str | None, usual: str | None) -> str:
    """The column asked for, the usual one of a known data set, or the only one that holds images ("image" or "img" of
    several).

    Raises:
        UserError: when there is none, it holds none, or there are several; naming the columns that exist.
    """
    found = [name for name, feature in features.items() if _holds_images(feature)]
    if asked is not None:
        _require(where, features, asked, "image_column")
        if asked not in found:
            other = f"; images are in {listed(found)}" if found else ""
            raise UserError(f"{where}: column {asked!r} holds no images, but {_kind(features[asked])}{other}.")
        return asked
    if usual in found:
        return str(usual)
    common = [name for name in ("image", "img") if name in found]
    if len(found) == 1 or common:
        return (common or found)[0]
    if found:
        raise UserError(f"{where} has several columns of images: {listed(found)}; name one as --image_column.")
    kinds = ", ".join(f"{name} ({_kind(feature)})" for name, feature in list(features.items())[:20])
    raise UserError(f"{where} has no column of images. Columns: {kinds}.")


def find_label_column(where: str, features: Mapping[str, Any], asked: str | None, usual: str | None) -> str:
    """The column asked for, the usual one of a known data set, "label", "labels", or the only one of class labels.

    Raises:
        UserError: when there is none or several, naming the columns that exist.
    """
    if asked is not None:
        return _require(where, features, asked, "label_column")
    for name in (usual, "label", "labels"):
        if name is not None and name in features:
            return name
    classes = [name for name, feature in features.items() if getattr(feature, "names", None)]
    if len(classes) == 1:
        return classes[0]
    if classes:
        raise UserError(f"{where} has several columns of labels: {listed(classes)}; name one as --label_column.")
    return _require(where, features, "label", "label_column")


def _require(where: str, features: Mapping[str, Any], name: str, flag: str) -> str:
    if name in features:
        return name
    raise UserError(
        f"{where} has no column {name!r}.{nearest(name, features)} Columns: {listed(list(features))}. See --{flag}."
    )


def _holds_images(feature: Any) -> bool:
    if type(feature).__name__ == "Image":
        return True
    return isinstance(feature, dict) and set(feature) == {"bytes", "path"}


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__)
