"""A folder of class folders: ROOT/CLASS/image, or ROOT/train/CLASS/image beside val and test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from logitmix_hf.data.rows import not_text
from logitmix_hf.errors import UserError, listed
from logitmix_hf.vision.data.files import IMAGE_SUFFIXES, ImageWalk, is_visible, suffix

PACKED_SUFFIXES = frozenset({".arrow", ".parquet", ".tar"})  # of data sets in the Hub's layout
TABLE_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".tsv", ".zip"})  # of those, or of notes beside class folders
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ClassFolders:
    """One split: paths relative to the root, sorted within sorted classes, and each one's class (None: unknown); notes:
    what was surprising, one line each."""

    folder: str
    paths: tuple[str, ...]
    classes: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


def holds_class_folders(root: Path) -> bool:
    """Whether a folder is to be read as class folders, not as a data set in the Hub's layout: no packed data and no
    ``metadata`` file lies at its top or one level below, and there are images, or no tables either."""
    inner = _folders(root)
    files = [name for folder in (root, *inner) for name in _files(folder, limit=50)]
    if any(suffix(name) in PACKED_SUFFIXES or name in ("metadata.csv", "metadata.jsonl") for name in files):
        return False
    walk = ImageWalk(root)
    images = any(suffix(name) in IMAGE_SUFFIXES for name in files) or any(any(walk.below(folder)) for folder in inner)
    return images or not any(suffix(name) in TABLE_SUFFIXES for name in files)


def lies_flat(root: Path) -> bool:
    """Whether images lie right in a folder without any folder beside them, so that the class of none is known."""
    return not _folders(root) and any(suffix(name) in IMAGE_SUFFIXES for name in _files(root))


def read_class_folders(root: Path, training: bool = True) -> dict[str, ClassFolders]:
    """Splits by their role, "train" always among them, without ``training`` those that are there: a folder without
    splits then is "validation". Class names are folder names; images may lie deeper in them. Splits may be written in
    capitals.

    Hidden files and folders, and files that are no images by their suffix, are passed over; what of them looks as if it
    were meant is told in the notes.

    Raises:
        UserError: for a folder without classes, a class without images or with a name that is no text, and a class of a
            validation split that train lacks.
    """
    inner = {folder.name: folder for folder in _folders(root)}
    roles = {role: _first_of(names, inner) for role, names in SPLITS.items()}
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
    beside = [name for name, folder in inner.items() if name not in split_names and any(ImageWalk(root).below(folder))]
    if not beside:
        return found
    known = f"splits are {', '.join(SPLITS)}, a folder each"
    note = f"Not read: {listed(beside, 5)} beside {listed(sorted(split_names))}; {known}."
    return {role: replace(split, notes=(*split.notes, note)) for role, split in found.items()}


def read_images(root: Path) -> ClassFolders:
    """The images below a folder, whatever the folders between are; of one that is sorted into splits those of validation,
    else test, else all. No class is known.

    Raises:
        UserError: for a folder without images.
    """
    inner = {folder.name: folder for folder in _folders(root)}
    names = [name for role in ("validation", "test") if (name := _first_of(SPLITS[role], inner))]
    split = _first_of(SPLITS["train"], inner) and names
    return _flat(root, inner[names[0]] if split else root)


def _first_of(names: Iterable[str], inner: Iterable[str]) -> str | None:
    """The folder that is called by the first of ``names`` that there is, as it is written or in other letters."""
    plain = {name.lower(): name for name in inner} | {name: name for name in inner}
    return next((plain[name] for name in names if name in plain), None)


def _read(root: Path, folder: Path, strict: bool) -> ClassFolders:
    paths: list[str] = []
    classes: list[str | None] = []
    folders = _folders(folder)
    loose = sum(suffix(name) in IMAGE_SUFFIXES for name in _files(folder))
    if not folders:
        held = f"{loose} images lie right in it" if loose else "it has no sub-folders"
        raise UserError(f"{folder} has no folder per class: {held}. Sort the images into {folder.name}/CLASS/.")
    walk = ImageWalk(root)
    for inner in folders:
        if wrong := not_text(inner.name):
            raise UserError(f"The name of the class folder {inner} {wrong}, and it is the label: rename it.")
        images = sorted(walk.below(inner))
        if str(inner) in walk.passed and strict:
            raise UserError(
                f"The class folder {inner} is a link to {inner.resolve()}, which is read anyway: the same images cannot"
                " be of two classes. Remove the link."
            )
        if not images and strict:
            raise UserError(f"The class folder {inner} has no images{_others(inner)}; fill or remove it.")
        paths += [os.path.relpath(path, root) for path in images]
        classes += [inner.name] * len(images)
    if not paths:
        raise UserError(f"{folder} has no images.")
    hidden = [one.name for one in _folders(folder, hidden=True) if any(ImageWalk(root).below(one))]
    notes = [f"Not read: {loose} images right in {folder}, of no class."] if loose else []
    if hidden:
        notes.append(
            f"Not read: hidden folders with images, {listed(hidden, 5)}; a name that begins with . or __ hides."
        )
    return ClassFolders(folder.name, tuple(paths), tuple(classes), (*walk.notes, *notes))


def _flat(root: Path, folder: Path) -> ClassFolders:
    walk = ImageWalk(root)
    images = sorted(walk.below(folder))
    if not images:
        raise UserError(f"{folder} has no images{_others(folder)}.")
    paths = tuple(os.path.relpath(path, root) for path in images)
    return ClassFolders(folder.name, paths, (None,) * len(images), walk.notes)


def _others(folder: Path) -> str:
    found = Counter(suffix(name) for _, _, names in os.walk(folder) for name in names if not name.startswith("."))
    if not found:
        return ""
    kinds = ", ".join(kind or "none" for kind, _ in found.most_common(3))
    return f", only files of the kinds {kinds} (known: {', '.join(sorted(IMAGE_SUFFIXES))})"


def _folders(folder: Path, hidden: bool = False) -> list[Path]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if is_visible(entry.name) != hidden and os.path.isdir(entry.path)]
        return sorted(Path(entry.path) for entry in found)


def _files(folder: Path, limit: int | None = None) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.isfile(entry.path) and is_visible(entry.name):  # an entry's own raises for a link to itself
                found.append(entry.name)
                if limit is not None and len(found) >= limit:
                    break
    return found
