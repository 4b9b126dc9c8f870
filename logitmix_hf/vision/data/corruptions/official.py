"""The files of CIFAR-10-C and CIFAR-100-C as their authors hand them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, listed, one_line
from logitmix_hf.vision.data.corruptions import NAMES, SEVERITIES, choose

LABELS = "labels.npy"


def check_official(folder: str | Path, names: str | None = None) -> tuple[str, ...]:
    """Which corruptions the folder holds, or of them those that are asked for; nothing but the heads of files is read.

    Raises:
        UserError: for what is no such folder, a corruption without a file, and files of other lengths or images of other
            sizes than those of the benchmark: five severities of N images each, 32 x 32 in colour.
    """
    path = expanded(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(
            f"--corrupted {folder} {what}: give the folder with the .npy files of CIFAR-10-C or CIFAR-100-C, or"
            " `--corrupted like`, which makes such images of the data that is judged."
        )
    found = [name for name in NAMES if (path / f"{name}.npy").is_file()]
    if not found or not (path / LABELS).is_file():
        missing = LABELS if found else f"file of a corruption, such as {NAMES[0]}.npy"
        raise UserError(f"--corrupted {folder} has no {missing}: is it the folder of CIFAR-10-C or CIFAR-100-C?")
    wanted = found if names is None else choose(names)
    for name in wanted:
        if name not in found:
            raise UserError(f"--corrupted {folder} has no {name}.npy; it has {listed(found)}.")
    labels = _open(path / LABELS)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or len(labels) % len(SEVERITIES):
        raise UserError(
            f"{path / LABELS} has the shape {labels.shape} and the type {labels.dtype}: it must hold the labels of"
            f" {len(SEVERITIES)} equal blocks, one a severity, as whole numbers."
        )
    for name in wanted:
        images = _open(path / f"{name}.npy")
        if images.shape != (len(labels), 32, 32, 3) or images.dtype != np.uint8:
            raise UserError(
                f"{path / name}.npy has the shape {images.shape} and the type {images.dtype}: {len(labels)} images of"
                f" 32 x 32 x 3 bytes are expected, as many as {LABELS} has labels."
            )
    return tuple(wanted)


def left_out(folder: str | Path) -> str:
    """In words, what a folder of the benchmark has not, and what of it is of no corruption by its name; "" for nothing."""
    names = {path.name.removesuffix(".npy") for path in expanded(folder).glob("*.npy") if path.is_file()}
    told = [f"no {listed(missing)}"] if (missing := [name for name in NAMES if name not in names]) else []
    told += [f"{listed(other)}, unknown"] if (other := sorted(names - {*NAMES, "labels"})) else []
    return "; ".join(told)


def official_images(folder: str | Path, name: str) -> np.ndarray:
    """(5 N, 32, 32, 3) uint8, mapped: five blocks in the order of the test split, severity 1 first."""
    return _open(expanded(folder) / f"{name}.npy")


def check_labels(folder: str | Path, idx: np.ndarray, labels: np.ndarray, rows: int | None = None) -> int:
    """How many images a severity has, after its labels were compared with those of the test split.

    Args:
        idx: (M,) the number in the test split of each judged row; labels: (M,) theirs, numbered as in the benchmark.
        rows: of the whole test split, where that is known.

    Raises:
        UserError: where they are not the same in the same order, block by block.
    """
    path = expanded(folder) / LABELS
    told = np.asarray(_open(path)).reshape(len(SEVERITIES), -1)
    if (rows is not None and rows != told.shape[1]) or idx.max() >= told.shape[1]:
        raise UserError(
            f"{path} has {told.shape[1]} labels a severity, and the test split that is judged"
            f" {rows or int(idx.max()) + 1} rows: they are not of the same data."
        )
    wrong = np.argwhere(told[:, idx] != labels)
    if len(wrong):
        block, place = wrong[0]
        raise UserError(
            f"{path} differs from the labels of the test split in {len(wrong)} of {told[:, idx].size} rows, first in row"
            f" {idx[place]} (from 0) of severity {block + 1}: {told[block, idx[place]]} there, {labels[place]} in the data."
            " Is it of another data set?"
        )
    return told.shape[1]


def _open(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="c")  # a copy on writing: torch wants it writable, the file stays
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an array of NumPy: {one_line(error)}.") from None
