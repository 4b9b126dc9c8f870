"""What is to be classified: texts or pairs of a table, or images of a folder or a table, row by row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from logitmix_hf.data.cells import NUMBER
from logitmix_hf.data.rows import LINES, SUFFIXES, Table, is_saved, not_text, open_rows
from logitmix_hf.errors import UserError, listed
from logitmix_hf.modality import TEXT
from logitmix_hf.vision.data.files import IMAGE_SUFFIXES, ImageWalk

TEXT_NAMES = ("text", "sentence")
"""Of several columns of texts, the one that is meant where nothing says otherwise."""
ALL = "all"
"""Every column of the input, as ``--keep`` says it."""
IMAGE_NAMES = ("image", "img", "file", "file_name", "filename", "path", "image_path")
_NO_INPUT = ("label", "labels", "idx", "id", "index")


@dataclass(frozen=True)
class InputRow:
    """One row of the input.

    index: its number from 0, counting broken ones.
    where: how a message calls it.
    value: a text or a pair of texts; of an image its path or its encoded bytes.
    file:  the image's file as the output names it, "" where there is none.
    wrong: why it cannot be classified, else "".
    kept:  the input's columns that go into the output, by name.
    """

    index: int
    where: str
    value: Any = None
    file: str = ""
    wrong: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """Rows and what is known of them. files: whether they are image files with a name. kept: the columns that go into the
    output, each with its kind as :class:`~logitmix_hf.serving.answers.Answers` has them. notes: what was surprising about
    the rows read so far, one line each."""

    name: str
    rows: Iterator[InputRow]
    total: int | None = None
    files: bool = False
    kept: Mapping[str, str] = field(default_factory=dict)
    notes: Callable[[], list[str]] = list


def open_input(
    source: str,
    modality: str,
    kind: str | None,
    asked: tuple[str, ...],
    trained: tuple[str, ...] = (),
    by: str = "",
    keep: tuple[str, ...] = (),
) -> Input:
    """The rows of ``source``: a table, a folder of images or one image; ``-`` is a pipe.

    Args:
        kind: the table's kind where its suffix does not say it.
        asked: the columns of ``--text_columns`` or ``--image_column``; () when the flag was not given.
        trained: the text columns that the run ``by`` was trained on.
        keep: columns that go into the output as they are; :data:`ALL` for every one.

    Raises:
        UserError: for a source that is missing or not of this modality, and columns that do not exist.
    """
    path = Path(source)
    if modality == TEXT:
        if path.is_dir() and source != "-" and not is_saved(path):
            raise UserError(
                f"--input {source!r} is a folder, and {by} reads texts: give a file ({', '.join(SUFFIXES)})."
            )
        table = open_rows(source, kind, asked or trained or TEXT_NAMES[:1])
        return _texts(table, _text_columns(table, asked, trained, by), _kept(table, keep))
    if (
        keep
        and source != "-"
        and ((path.is_dir() and not is_saved(path)) or (path.suffix.lower() in IMAGE_SUFFIXES and kind is None))
    ):
        raise UserError(
            f"--keep names columns of a table, and --input {source!r} holds images, whose names stand under 'file': leave it"
            " out."
        )
    if source != "-" and path.is_dir() and not is_saved(path):
        return _folder(path)
    if path.suffix.lower() in IMAGE_SUFFIXES and kind is None and path.is_file():
        return Input(source, iter([InputRow(0, source, path, _path_text(path))]), 1, files=True)
    table = open_rows(source, kind, asked or IMAGE_NAMES[:1])
    return _images(table, _image_column(table, asked), _kept(table, keep))


def _kept(table: Table, asked: tuple[str, ...]) -> dict[str, str]:
    """The columns that go into the output, with their kinds: of a table with types its numbers and truths, else "any"."""
    if asked == (ALL,):
        seen = {name for record in table.look() for name in record.values or ()}  # images of a typed table are not
        names = [name for name in table.columns if name in seen]
    else:
        names = [table.require(name, "keep") for name in dict.fromkeys(asked)]
    return {name: _kind(table, name) for name in names}


def _kind(table: Table, name: str) -> str:
    found = {type(value) for record in table.look() if (value := (record.values or {}).get(name)) is not None}
    if not table.has_types or len(found) != 1:
        return "any"
    return {bool: "boolean", int: "index", float: "real"}.get(found.pop(), "any")


# --- texts ----------------------------------------------------------------------------------------------------------


def _text_columns(table: Table, asked: tuple[str, ...], trained: tuple[str, ...], by: str) -> tuple[str, ...]:
    """One column or two."""
    if asked:
        if trained and len(asked) != len(trained):
            raise UserError(
                f"--text_columns names {len(asked)} ({', '.join(asked)}), and {by} was trained on"
                f" {len(trained)} ({', '.join(trained)}): name as many."
            )
        if len(asked) > 2:
            raise UserError(f"--text_columns names {len(asked)}: a model reads one text or a pair.")
        return tuple(table.require(name, "text_columns") for name in asked)
    if table.kind == LINES and len(trained) < 2:
        return (LINES,)
    if trained:
        return tuple(table.require(name, "text_columns", f", which {by} was trained on") for name in trained)
    found = [name for name in table.columns if name not in _NO_INPUT and _holds_texts(table, name)]
    chosen = found if len(found) == 1 else [name for name in TEXT_NAMES if name in (found or table.columns)][:1]
    if not chosen:
        raise UserError(
            f"{table.name} has {len(found) or 'no'} columns of texts, so --text_columns must name the one to read, or"
            f" two as a pair (a,b). Columns: {listed(table.columns)}."
        )
    return tuple(chosen)


def _holds_texts(table: Table, name: str) -> bool:
    """Whether the first rows have a text there that is no number."""
    values = ((record.values or {}).get(name) for record in table.look())
    return any(isinstance(value, str) and not NUMBER.fullmatch(value) for value in values)


def _texts(table: Table, columns: tuple[str, ...], kept: dict[str, str]) -> Input:
    def value(values: dict[str, Any]) -> Any:
        texts = tuple(_text(values, name) for name in columns)
        return texts if len(texts) == 2 else texts[0]

    rows = _rows(table, columns, lambda values: (value(values), ""), kept)
    return Input(table.name, rows, table.total, kept=kept, notes=table.note_lines)


def _text(values: dict[str, Any], name: str) -> str:
    text = values.get(name)
    if text is None:
        raise _Unfit(f"no text in column {name!r}")
    if not isinstance(text, str):
        raise _Unfit(f"column {name!r} holds {listed([text])}, no text")
    if wrong := not_text(text):
        raise _Unfit(f"column {name!r} {wrong}")
    return text


# --- images ---------------------------------------------------------------------------------------------------------


def _folder(root: Path) -> Input:
    """The images below a folder in the order of their names, folder by folder."""
    walk = ImageWalk(root)
    files = map(Path, walk.below(root))
    first = next(files, None)
    if first is None:
        raise UserError(f"{root} holds no images; known by their suffix: {', '.join(sorted(IMAGE_SUFFIXES))}.")

    def rows() -> Iterator[InputRow]:
        yield InputRow(0, str(first), first, _path_text(first.relative_to(root)))
        for index, path in enumerate(files, start=1):
            yield InputRow(index, str(path), path, _path_text(path.relative_to(root)))

    return Input(str(root), rows(), files=True, notes=lambda: list(walk.notes))


def _image_column(table: Table, asked: tuple[str, ...]) -> str:
    if asked:
        return table.require(asked[0], "image_column")
    if table.kind == LINES:
        return LINES
    found = [name for name in IMAGE_NAMES if name in table.columns]
    if not found and len(table.columns) > 1:
        raise UserError(
            f"{table.name} has no column {', '.join(IMAGE_NAMES[:-1])} or {IMAGE_NAMES[-1]}: name the one with"
            f" images or their paths as --image_column. Columns: {listed(table.columns)}."
        )
    return (found or table.columns)[0]


def _images(table: Table, column: str, kept: dict[str, str]) -> Input:
    def value(values: dict[str, Any]) -> tuple[Any, str]:
        image = values.get(column)
        if isinstance(image, dict):  # as datasets stores it
            image = image.get("bytes") or image.get("path")
        if isinstance(image, str) and image:
            return table.base / image, _path_text(Path(image))
        if isinstance(image, bytes) and image:
            return image, ""
        kind = "no image" if not image else f"a {type(image).__name__}, neither a path nor an encoded image"
        raise _Unfit(f"column {column!r} holds {kind}")

    first = (record.values.get(column) for record in table.look() if record.values)
    files = any(isinstance(one, str) for one in first)
    return Input(table.name, _rows(table, (column,), value, kept), table.total, files, kept, table.note_lines)


def _path_text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


# --- both -----------------------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """Why a row cannot be classified."""


def _rows(
    table: Table, columns: tuple[str, ...], read: Callable[[dict[str, Any]], tuple[Any, str]], kept: Mapping[str, str]
) -> Iterator[InputRow]:
    for index, record in enumerate(table.read(list(dict.fromkeys((*columns, *kept))))):
        where = f"{table.name}, {record.where}"
        if record.values is None:
            yield InputRow(index, where, wrong=record.wrong)
            continue
        try:
            value, file = read(record.values)
        except _Unfit as unfit:
            yield InputRow(index, where, wrong=str(unfit))
        else:
            yield InputRow(index, where, value, file, kept={name: record.values.get(name) for name in kept})
