"""Corrupted images that the finished model is judged on: ``--corrupted FOLDER|like``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, say
from logitmix_hf.process import is_main_process
from logitmix_hf.training.shift import PREFIX as SHIFTED
from logitmix_hf.vision.data import ImageData
from logitmix_hf.vision.data.cache import default_folder
from logitmix_hf.vision.data.corruptions import SEVERITIES, choose
from logitmix_hf.vision.data.corruptions.official import check_labels, check_official, left_out, official_images
from logitmix_hf.vision.data.corruptions.splits import CorruptedSplit, OfficialSplit
from logitmix_hf.vision.data.splits import Split

LIKE = "like"
"""The word for images that are made here."""
_NATIVE = 32  # pixels of a side that the constants are meant for


@dataclass(frozen=True)
class CorruptedImages:
    """Splits by the corruption and severity.

    name: what they are called: the folder, or ``<data>-c-like``. source: the clean split. official: the benchmark's own.
    """

    name: str
    source: str
    official: bool
    splits: dict[tuple[str, int], Split]


def check_corrupted(place: str | None, names: str | None) -> None:
    """What can be said of the flags before any image of the data is read.

    Raises:
        UserError: for an unknown corruption, ``--corruptions`` without ``--corrupted``, and as :func:`check_official`.
    """
    if place is None:
        if names is not None:
            raise UserError(
                f"--corruptions {names} chooses among the images of --corrupted: give that too (`--corrupted like`, or the"
                " folder of CIFAR-10-C)."
            )
        return
    choose(names)
    if place != LIKE:
        check_official(place, names)


def clean_split(data: ImageData, need_official: str | None) -> tuple[str, str]:
    """Name and source of the split whose images are corrupted: the labelled test split, else the first that is judged; none of
    a ``--shift``.

    Raises:
        UserError: where there is none; for the official files, where it is no test split.
    """
    candidates = [split for split in (*data.tested, *data.judged) if not split.name.startswith(SHIFTED)]
    tests = [split for split in candidates if split.source == "test" or split.name == "test"]
    if need_official is not None and not tests:
        raise UserError(
            f"--corrupted {need_official} holds corrupted images of the test split, which is not judged here: add"
            " --do_predict, or --validation_share 0, which judges on test."
        )
    chosen = next(iter(tests or candidates), None)
    if chosen is None:
        raise UserError("--corrupted needs judged images with labels, and none are judged.")
    return chosen.name, chosen.source


def corrupted_images(
    data: ImageData, place: str, names: str | None, label_names: tuple[str, ...], cache: str | Path | None
) -> CorruptedImages:
    """What ``--corrupted`` asks for, of the data as it is judged.

    Args:
        label_names: in the order in which the data itself numbers its classes.

    Raises:
        UserError: as :func:`clean_split`, and where labels or their order are not those of the test split.
    """
    official = place != LIKE
    name, source = clean_split(data, place if official else None)
    split = data.splits[name]
    assert split.labels is not None
    if not official:
        if data.image_size != _NATIVE and is_main_process():
            say(
                f"--corrupted like: the corruptions are as strong as those of {_NATIVE} x {_NATIVE} pixels; on images of"
                f" {data.image_size} x {data.image_size} the same numbers do {'more' if data.image_size < _NATIVE else 'less'}."
            )
        folder = expanded(cache) if cache else default_folder()
        return CorruptedImages(
            f"{data.name}-c-like",
            source,
            False,
            {
                (one, level): CorruptedSplit(split, one, level, folder, data.fingerprint, called=f"{one}_{level}")
                for one in choose(names)
                for level in SEVERITIES
            },
        )
    if data.channels != 3:
        raise UserError(f"--corrupted {place} holds images in colour, and the network takes {data.channels} channel.")
    numbers = {called: number for number, called in enumerate(label_names)}
    own = np.array([numbers[data.label_names[label]] for label in split.labels.cpu().tolist()])
    whole = int(split.idx.max()) + 1 == len(split)  # and no part of the test split
    rows = check_labels(place, split.idx, own, len(split) if whole else None)
    wanted = check_official(place, names)
    if names is None and (odd := left_out(place)) and is_main_process():
        say(f"--corrupted {place} has {odd}: what is averaged is over the {len(wanted)} that are there.")
    images = {one: official_images(place, one) for one in wanted}
    return CorruptedImages(
        expanded(place).resolve().name,
        source,
        True,
        {
            (one, level): OfficialSplit(split, images[one], level, rows, called=f"{one}_{level}", stored=data.stored)
            for one in wanted
            for level in SEVERITIES
        },
    )


def record_of(found: CorruptedImages | None) -> dict[str, Any] | None:
    """What ``run.json`` says of them."""
    if found is None:
        return None
    first = next(iter(found.splits.values()))
    names = list(dict.fromkeys(name for name, _ in found.splits))
    return {
        "name": found.name,
        "source": found.source,
        "official": found.official,
        "rows": len(first),
        "corruptions": names,
    }
