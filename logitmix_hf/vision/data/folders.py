"""A folder of class folders: ROOT/CLASS/image, or ROOT/train/CLASS/image beside val and test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.errors import UserError, listed

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tga", ".tif", ".tiff", ".webp"}
)
PACKED_SUFFIXES = frozenset({".arrow", ".parquet", ".tar"})  # of data sets in the Hub's layout
TABLE_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".tsv", ".zip"})  # of those, or of notes beside class folders
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ClassFolders:
    """One split: paths relative to the root, sorted within sorted classes, and each one's class (None: unknown)."""

    folder: str
    paths: tuple[str, ...]
    classes: tuple[str | None, ...]


def holds_class_folders(root: Path) -> bool:
    """Whether a folder is to be read as class folders, not as a data set in the Hub's layout: no packed data and no
    ``metadata`` file lies at its top or one level below, and there are images, or no tables either."""
    inner = _folders(root)
    files = [name for folder in (root, *inner) for name in _files(folder, limit=50)]
    if any(_suffix(name) in PACKED_SUFFIXES or name in ("metadata.csv", "metadata.jsonl") for name in files):
        return False
    images = any(_suffix(name) in IMAGE_SUFFIXES for name in files) or any(any(_images(folder)) for folder in inner)
    return images or not any(_suffix(name) in TABLE_SUFFIXES for name in files)


def read_class_folders(root: Path, training: bool = True) -> dict[str, ClassFolders]:
    """Splits by their role, "train" always among them, without ``training`` those that are there: a folder without
    splits then is "validation". Class names are folder names; images may lie deeper in them.

    Hidden files and folders, and files that are no images by their suffix, are passed over.

    Raises:
        UserError: for a folder without classes, a class without images, and a class of a validation split that train
            lacks.
    """
    inner = {folder.name: folder for folder in _folders(root)}
    roles = {role: next((name for name in names if name in inner), None) for role, names in SPLITS.items()}
    split_names = {name for name in roles.values() if name}
    by_split = any(_folders(inner[name]) for name in split_names)
    if not by_split:
        return {"train" if training else "validation": _read(root, root, strict=training)}
    if roles["train"] is None and training:
        raise UserError(f"{root} has no folder 'train', only {listed(sorted(inner))}.")
    found = {} if roles["train"] is None else {"train": _read(root, inner[roles["train"]], strict=training)}
    known = set(found["train"].classes) if found else None
    for role in ("validation", "test"):
        name = roles[role]
        if name is None:
            continue
        sorted_by = {folder.name for folder in _folders(inner[name])}
        flat = role == "test" and not (sorted_by if known is None else known & sorted_by)
        found[role] = _flat(root, inner[name]) if flat else _read(root, inner[name], strict=False)
        if known is None:
            continue
        strange = sorted({str(one) for one in found[role].classes if one is not None} - {str(one) for one in known})
        if strange:
            raise UserError(
                f"{inner[name]} has classes that {roles['train']} lacks: {listed(strange, 5)}; there are"
                f" {listed(sorted(map(str, known)))}."
            )
    return found


def _read(root: Path, folder: Path, strict: bool) -> ClassFolders:
    paths: list[str] = []
    classes: list[str | None] = []
    folders = _folders(folder)
    if not folders:
        loose = sum(_suffix(name) in IMAGE_SUFFIXES for name in _files(folder))
        held = f"{loose} images lie right in it" if loose else "it has no sub-folders"
        raise UserError(f"{folder} has no folder per class: {held}. Sort the images into {folder.name}/CLASS/.")
    for inner in folders:
        images = sorted(_images(inner))
        if not images and strict:
            raise UserError(f"The class folder {inner} has no images{_others(inner)}; fill or remove it.")
        paths += [os.path.relpath(path, root) for path in images]
        classes += [inner.name] * len(images)
    if not paths:
        raise UserError(f"{folder} has no images.")
    return ClassFolders(folder.name, tuple(paths), tuple(classes))


def _flat(root: Path, folder: Path) -> ClassFolders:
    images = sorted(_images(folder))
    if not images:
        raise UserError(f"{folder} has no images{_others(folder)}.")
    return ClassFolders(folder.name, tuple(os.path.relpath(path, root) for path in images), (None,) * len(images))


def _others(folder: Path) -> str:
    found = Counter(_suffix(name) for _, _, names in os.walk(folder) for name in names if not name.startswith("."))
    if not found:
        return ""
    kinds = ", ".join(suffix or "none" for suffix, _ in found.most_common(3))
    return f", only files of the kinds {kinds} (known: {', '.join(sorted(IMAGE_SUFFIXES))})"


def _images(folder: Path) -> Iterator[str]:
    for place, inner, names in os.walk(folder, followlinks=True):
        inner[:] = sorted(name for name in inner if _visible(name))
        for name in names:
            if _visible(name) and _suffix(name) in IMAGE_SUFFIXES:
                yield os.path.join(place, name)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir() and _visible(entry.name))


def _files(folder: Path, limit: int | None = None) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file() and _visible(entry.name):
                found.append(entry.name)
                if limit is not None and len(found) >= limit:
                    break
    return found


def _visible(name: str) -> bool:
    return not name.startswith((".", "__"))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
