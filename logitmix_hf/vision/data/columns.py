"""Which columns of a data set hold the images and the labels, asked for or found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from logitmix_hf.data.labels import read_labels
from logitmix_hf.data.rows import Columns, columns_of
from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.evaluation.predictions import REGRESSION, SINGLE


def label_values(where: str, split: Any, column: str) -> Columns:
    """The column of labels of a ``datasets.Dataset`` alone."""
    table = split.with_format("arrow").select_columns([column])[:]
    return columns_of(where, table, {column: split.features[column]})


def number_labels(
    splits: Mapping[str, Columns], column: str, learns: bool = True
) -> tuple[tuple[str, ...], dict[str, np.ndarray], tuple[str, ...]]:
    """Class names in the order of their numbers, each split's (N,) int64 labels, and notes; the first split, train where
    there is one, says which classes there are. ``learns``: require two.

    Raises:
        UserError: as :func:`logitmix_hf.data.labels.read_labels`, and for several labels a row or real values.
    """
    labels, values = read_labels({key: (split, column) for key, split in splits.items()}, learns=learns)
    if labels.problem != SINGLE:
        what = "real values, not labels" if labels.problem == REGRESSION else "several values a row"
        raise UserError(
            f"{next(iter(splits.values())).where}: column {column!r} holds {what}; images are classified only, one label"
            " each. See --label_column."
        )
    return labels.names, {key: np.array(some, np.int64) for key, some in values.items()}, labels.notes


def find_image_column(where: str, features: Mapping[str, Any], asked: str | None, usual: str | None) -> str:
    """The column asked for, the usual one of a known data set, or the only one that holds images ("image" or "img" of
    several); bytes that are not called images are taken for encoded ones where nothing else is.

    Raises:
        UserError: when there is none, it holds none, or there are several; naming the columns that exist.
    """
    found = [name for name, feature in features.items() if _holds_images(feature)]
    found = found or [name for name, feature in features.items() if _kind(feature) in ("binary", "large_binary")]
    if asked is not None:
        require_column(where, features, asked, "image_column")
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
        return require_column(where, features, asked, "label_column")
    for name in (usual, "label", "labels"):
        if name is not None and name in features:
            return name
    classes = [name for name, feature in features.items() if getattr(feature, "names", None)]
    if len(classes) == 1:
        return classes[0]
    if classes:
        raise UserError(f"{where} has several columns of labels: {listed(classes)}; name one as --label_column.")
    return require_column(where, features, "label", "label_column")


def require_column(where: str, features: Mapping[str, Any], name: str, flag: str) -> str:
    """``name``, when there is such a column.

    Raises:
        UserError: naming the columns that exist and the flag to change.
    """
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
