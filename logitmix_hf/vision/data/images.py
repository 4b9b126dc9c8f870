"""Where encoded images lie: the rows of a data set, files, or an array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.vision.data.files import read_file


class DatasetImages:
    """The image column of a ``datasets.Dataset``, never decoded by it.

    A copy for a worker process carries the data set, which copies as names of mapped files, and no pixels.
    """

    def __init__(self, dataset: Any, column: str, where: str) -> None:
        from datasets import Image

        self.key = f"{dataset._fingerprint} {column} {len(dataset)}"
        self.where = where
        self._dataset = dataset.select_columns([column]).cast_column(column, Image(decode=False))
        self._column = column
        self._chunks: list[Any] | None = None
        self._starts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chunks": None}

    def _cell(self, row: int, part: str) -> Any:
        if self._chunks is None:
            column = self._dataset.with_format("arrow")[:].column(self._column)
            self._starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
            self._chunks = list(column.chunks)
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._chunks[number].field(part)[row - int(self._starts[number])].as_py()

    def read(self, row: int) -> bytes:
        """The cell's bytes, or those of the file that it names."""
        data = self._cell(row, "bytes")
        if data is not None:
            return data
        path = self._cell(row, "path")
        if path is None:
            raise OSError("there is no image in this row")
        return read_file(Path(path))

    def name(self, row: int) -> str:
        """``row 3 of split 'train' of NAME (file.png)``; rows count from 0."""
        path = self._cell(row, "path")
        return f"row {row} (from 0) of {self.where}" + (f" ({path})" if path else "")


class FileImages:
    """Image files below a folder.

    key: of paths, sizes and times of change, so that a file that was replaced is decoded anew.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root, self._paths = root, tuple(paths)

    @property
    def key(self) -> str:
        digest = hashlib.sha256(str(self._root.resolve()).encode("utf-8", "surrogateescape"))
        for path in self._paths:
            try:
                state = (self._root / path).stat()
                told = f"{state.st_size} {state.st_mtime_ns}"
            except OSError:  # a link that leads nowhere: told when it is read
                told = "gone"
            digest.update(f"{path}\0{told}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, row: int) -> bytes:
        """The file's bytes."""
        return read_file(self._root / self._paths[row])

    def name(self, row: int) -> str:
        """The file's path."""
        return str(self._root / self._paths[row])


class ArrayImages:
    """(N, H, W) uint8 grey pixels in memory, handed out as PGM files. No key: not worth a cache."""

    key = None

    def __init__(self, pixels: np.ndarray, where: str) -> None:
        self._pixels, self.where = pixels, where

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, row: int) -> bytes:
        """A binary PGM file."""
        height, width = self._pixels[row].shape
        return b"P5 %d %d 255\n" % (width, height) + self._pixels[row].tobytes()

    def name(self, row: int) -> str:
        """``row 3 of WHERE``."""
        return f"row {row} (from 0) of {self.where}"
