"""Images beside those of the data set: such that a temperature is fitted on, and such of another origin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from logitmix_hf.data.hub import is_folder
from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, say
from logitmix_hf.process import is_main_process
from logitmix_hf.training.ood import ood_name, with_ood
from logitmix_hf.training.shift import matched, of_flag, split_name, unlabelled_names, with_shift, with_unlabelled
from logitmix_hf.vision.data import NAMED, ImageData, ImageRequest, check_image_data, load_image_data
from logitmix_hf.vision.data.folders import lies_flat

_SHARED = ("seed", "skip_corrupt", "max_pixels", "cache_dir", "memory_limit")


def check_images_apart(place: str, judged: str | None) -> None:
    """What can be said of it before anything is read.

    Raises:
        UserError: when there is no such folder, or it is the one that is judged.
    """
    check_image_data(ImageRequest(dataset=place))
    if same_images(place, judged):
        raise UserError(
            f"--calibration_file {place} is what is judged too: a temperature fitted on the rows that it is judged on"
            " flatters. Give other images, --protocol halves, or in place of it --calibrate_on_eval."
        )


def same_images(one: str, other: str | None) -> bool:
    """Whether both name one data set or folder."""
    if not other or one == other or one in NAMED or other in NAMED:
        return one == other
    return is_folder(one) and is_folder(other) and os.path.samefile(expanded(one), expanded(other))


def with_images_apart(data: ImageData, place: str, request: ImageRequest) -> ImageData:
    """The data with all images of ``place`` as its calibration split, sized and labelled as its own are.

    Args:
        place: as ``dataset`` of a request; judged by its validation split, else test, else all of it.
        request: the one that ``data`` was loaded by.

    Raises:
        UserError: as :func:`load_image_data`, and for labels that the data does not have.
    """
    found = _beside(data, place, request)
    first, match = found.judged[0], match_labels(data.label_names, found.label_names)
    if match.note and is_main_process():
        say(f"--calibration_file {place}: {match.note}")
    split = found.validation[first.name].relabelled(match.numbers)
    split.name = "calibration"
    kind = "folder" if found.kind == "folder" else "data set"
    where = found.validation_note if len(found.judged) == 1 else f"the split {first.source}"
    note = f"the {kind} {Path(place).name}, {where}"
    if note.endswith(f"the folder {Path(place).resolve().name}"):  # itself
        note = f"the folder {Path(place).resolve().name}"
    return replace(data, calibration=split, calibration_note=note)


def with_shifted_images(data: ImageData, shifts: Mapping[str, str], request: ImageRequest) -> ImageData:
    """The data with the images of each place as a split that is judged at the end, sized and labelled as its own are.

    Args:
        shifts: by name, a place as ``dataset`` of a request; judged by its validation splits, else test, else all of it.

    Raises:
        UserError: as :func:`load_image_data`, and for labels that the data does not have.
    """
    for name, place in shifts.items():
        labelled = place in NAMED or not is_folder(place) or not lies_flat(expanded(place))
        with of_flag(f"--shift {name}={place}"):
            found = _beside(data, place, request, max_eval_samples=request.max_eval_samples, labelled=labelled)
        if not labelled:
            made = unlabelled_names(name, found.validation)
            for key, split in made.items():
                split.name = key
            data, note = with_unlabelled(data, f"--shift {name}={place}", made)
            if is_main_process():
                say(note)
            continue
        match = matched(name, place, data, found)
        if match.note and is_main_process():
            say(f"--shift {name}={place}: {match.note}")
        splits = {}
        for judged in found.judged:
            key = split_name(name, found, judged)
            splits[key] = found.validation[judged.name].relabelled(match.numbers)
            splits[key].name = key
        data = with_shift(data, name, place, splits)
    return data


def with_ood_images(data: ImageData, places: Mapping[str, str], request: ImageRequest) -> ImageData:
    """The data with the images of each place as splits without labels, sized as its own are.

    Args:
        places: by name, a place as ``dataset`` of a request, or a folder of images, sorted or not; its validation splits,
            else test, else all of it. Labels are not looked at.

    Raises:
        UserError: as :func:`load_image_data`.
    """
    for name, place in places.items():
        with of_flag(f"--ood {name}={place}"):
            found = _beside(data, place, request, max_eval_samples=request.max_eval_samples, labelled=False)
        splits = {ood_name(name, key, len(found.validation)): split for key, split in found.validation.items()}
        for key, split in splits.items():
            split.name = key
        if is_main_process():
            say(f"--ood {name}={place}: labels, where there are any, are not looked at: its images are of no class.")
        data = with_ood(data, splits)
    return data


def _beside(data: ImageData, place: str, request: ImageRequest, **changes: Any) -> ImageData:
    """What is judged of ``place``, in images of the data's size."""
    shared = {name: getattr(request, name) for name in _SHARED} | changes
    return load_image_data(
        ImageRequest(dataset=place, image_size=data.image_size, channels=data.channels, training=False, **shared)
    )
