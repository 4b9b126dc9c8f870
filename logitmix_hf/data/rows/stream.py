"""Where rows come from: a file, a FIFO or standard input. Opened once, unpacked, and read as text whatever its encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import stat
import sys
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, nearest, one_line

_UNPACK: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_PACKED_OTHERWISE = {b"PK\x03\x04": "a zip archive or an Excel workbook", b"\x28\xb5\x2f\xfd": "packed by zstd"}
PACKED_SUFFIXES = (".gz", ".bz2", ".xz")
"""Suffixes of what is unpacked on the way."""
PARQUET = b"PAR1"
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, UnicodeError)
_PATIENCE = 10.0  # seconds that the writer of a FIFO may take to begin
_HEAD = 8192


def open_bytes(source: str | Path, *, again: bool = False) -> io.BufferedReader:
    """The bytes of a file or FIFO, or of standard input where ``source`` is ``-``; unpacked where they are packed.

    Args:
        again: the source will be opened once more, which only a file allows.

    Raises:
        UserError: for what is missing, a folder, a device, empty, packed in another way, or a FIFO that nobody writes to
            (or that is to be read ``again``).
    """
    name = source_name(source)
    try:
        stream: Any = sys.stdin.buffer if str(source) == "-" else _open(Path(source), again)
        if not hasattr(stream, "peek"):
            stream = io.BufferedReader(stream)
        for start, what in _PACKED_OTHERWISE.items():
            if head(stream).startswith(start):
                raise UserError(f"{name} is {what}: save it as CSV, TSV, JSON lines or Parquet.")
        unpack = next((unpack for start, unpack in _UNPACK.items() if head(stream).startswith(start)), None)
        stream = stream if unpack is None else io.BufferedReader(unpack(stream))
        if not head(stream):
            raise UserError(
                "Nothing came by the pipe (--input -): give at least one row."
                if str(source) == "-"
                else f"{name} is empty; give at least one row."
            )
    except _DAMAGED as error:
        raise UserError(f"{name} is damaged: {one_line(error)}.") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or one_line(error)}.") from error
    return stream


def source_name(source: str | Path) -> str:
    """How messages call a source."""
    return "standard input" if str(source) == "-" else str(source)


def head(stream: Any) -> bytes:
    """The first bytes, which are read again."""
    return stream.peek(_HEAD)[:_HEAD]


def check_exists(path: Path) -> None:
    """Require a file or folder.

    Raises:
        UserError: naming the nearest name beside it.
    """
    if not os.path.exists(path):  # False, too, for a name that no file system takes
        siblings = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        raise UserError(f"There is no file {str(path)!r:.1000}.{nearest(path.name, siblings)}")


def _open(path: Path, again: bool) -> Any:
    check_exists(path)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{str(path)!r} is a folder; give one file.")
    if stat.S_ISREG(mode):
        return path.open("rb")
    if not stat.S_ISFIFO(mode):
        raise UserError(f"{str(path)!r} is a device or a socket, no file of rows.")
    if again:
        raise UserError(f"{str(path)!r} is a pipe, and these rows are read more than once: write them to a file first.")
    return _open_fifo(path)


def _open_fifo(path: Path) -> Any:
    """Opening a FIFO waits for its writer, if need be for ever: so it is left to a thread that need not be waited for."""
    opened: list[Any] = []
    waiting = threading.Thread(target=lambda: opened.append(path.open("rb")), daemon=True)
    waiting.start()
    waiting.join(_PATIENCE)
    if not opened:
        raise UserError(f"Nobody writes to the FIFO {str(path)!r}: start its writer first, or give a file.")
    return opened[0]


class Lines:
    """The lines of a text with their ends, numbered from 1; they can be given back, to be read again.

    What is not UTF-8 in them became lone surrogates. ``name`` is for messages.

    Raises:
        UserError: for bytes that are no text, and when the stream turns out to be damaged.
    """

    def __init__(self, name: str, stream: Any) -> None:
        start = head(stream)
        encoding = next((known for mark, known in _ENCODINGS.items() if start.startswith(mark)), "utf-8-sig")
        if encoding == "utf-8-sig" and b"\0" in start:
            raise UserError(f"{name} is binary, not text (or UTF-16 without the mark at its start): save it as UTF-8.")
        errors = "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
        self.name, self.number = name, 0
        self._text = io.TextIOWrapper(stream, encoding, errors, newline="")
        self._back: deque[tuple[int, str]] = deque()
        self._read = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._back:
            self.number, line = self._back.popleft()
            return line
        try:
            line = self._text.readline()
        except _DAMAGED as error:
            raise UserError(f"{self.name} is damaged after line {self._read}: {one_line(error)}.") from error
        if not line:
            raise StopIteration
        self._read += 1
        self.number = self._read
        return line

    def give_back(self, lines: Iterable[tuple[int, str]]) -> None:
        """Numbered lines that come next, before those that were given back earlier."""
        self._back.extendleft(reversed(list(lines)))


def not_text(text: str) -> str:
    """Why a string can be no text, in words, or "": bytes that are not UTF-8, half an emoji in JSON."""
    if text.isascii():
        return ""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return f"is not UTF-8 (byte 0x{code - 0xDC00:02x}; from Excel or Windows: iconv -f WINDOWS-1252 -t UTF-8)"
        return f"is not UTF-8 (half a character, \\u{code:04x})"
    return ""
