"""Encoded images to squares of 8-bit pixels: whatever their mode, upright, on all cores."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.process import usable_cores

T = TypeVar("T")

_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
GREY_MODES = {"1", "L", "LA", "La", *_SIXTEEN_BITS}
"""Modes of Pillow without colour."""

_CHUNK = 64  # images a task

MOST_PIXELS = 100_000_000
"""Pixels of an image above which it is not decoded: half a megabyte of PNG may unpack to gigabytes."""


class RawImages(Protocol):
    """Encoded images by row; may be copied into worker processes."""

    def __len__(self) -> int: ...

    def read(self, row: int) -> bytes:
        """The encoded image; an ``OSError`` when it cannot be had."""
        ...

    def name(self, row: int) -> str:
        """How a message calls it: its file, or its row and split."""
        ...


class CorruptImage(UserError):
    """An image that cannot be decoded.

    ``DataLoader`` raises again what its workers raised, with a traceback in the text: the last line is the message.
    """

    def __init__(self, message: str) -> None:
        last = message.strip().splitlines()[-1]
        super().__init__(last.rpartition("CorruptImage: ")[2])


@dataclass(frozen=True)
class BoundedImages:
    """``images``, of which none above ``max_pixels`` is decoded."""

    images: RawImages
    max_pixels: int = MOST_PIXELS

    @property
    def key(self) -> str | None:
        """Of the images themselves, where they have one; another bound may leave out others."""
        own = getattr(self.images, "key", None)
        return own if own is None or self.max_pixels == MOST_PIXELS else f"{own} {self.max_pixels}"

    def __len__(self) -> int:
        return len(self.images)

    def read(self, row: int) -> bytes:
        return self.images.read(row)

    def name(self, row: int) -> str:
        return self.images.name(row)


def decode(data: bytes, channels: int, max_pixels: int = MOST_PIXELS) -> Any:
    """A Pillow image of mode "L" (1 channel) or "RGB" (3), upright as its EXIF says.

    Transparent parts lie on white, 16 bits are scaled to 8, palettes and CMYK converted; of an animation the first
    frame.

    Raises:
        Exception: of many kinds, as Pillow does, for what is no image, is cut short or broken; ``ValueError`` for
            pixels whose range is unknown (floating point, 32 bits), and for more than ``max_pixels``.
    """
    return _without_large_texts(data, lambda some: _decode(some, channels, max_pixels))


def _decode(data: bytes, channels: int, max_pixels: int) -> Any:
    from PIL import Image

    if max_pixels > MOST_PIXELS and max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels):
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow has a bound of its own, and somebody asked for more
    try:
        opened = Image.open(io.BytesIO(data))  # the header alone
    except Image.DecompressionBombError as bomb:
        raise ValueError(f"{one_line(bomb)}: more than --max_pixels {max_pixels} allows") from bomb
    with opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise ValueError(f"{width} x {height} pixels are more than --max_pixels {max_pixels} allows")
        opened.load()
        image = opened.transpose(turn) if (turn := _turn(opened)) is not None else opened.copy()
    if image.mode in _SIXTEEN_BITS:
        image = _from_sixteen_bits(image)
    elif image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    wanted = "L" if channels == 1 else "RGB"
    if image.mode == wanted:
        return image
    return image.convert("RGB").convert(wanted) if image.mode in ("P", "CMYK", "RGBA") else image.convert(wanted)


def _from_sixteen_bits(image: Any) -> Any:
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError("32-bit pixels, whose range is unknown")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _turn(image: Any) -> Any:
    """How Pillow brings an image upright (a ``Transpose``); None for one that is, or does not say, or says it brokenly."""
    from PIL import ExifTags, Image

    turns = Image.Transpose
    table = (None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM)
    table += (turns.TRANSPOSE, turns.ROTATE_270, turns.TRANSVERSE, turns.ROTATE_90)
    try:
        found: Any = image.getexif().get(ExifTags.Base.Orientation)
        if found is None and "exif" in image.info:
            found = _orientation(image.info["exif"])
        return table[range(1, 9).index(found or 0)]
    except Exception:  # of the many ways to be broken, and for no such tag
        return None


def _orientation(exif: bytes) -> int | None:
    """The tag of that name in EXIF's first directory, entry by entry: Pillow 12.3 reads none after a broken one."""
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for number in range(count):
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", data, start + 2 + 12 * number)
        if (tag, kind, values) == (0x0112, 3, 1):  # one short number
            return value
    return None


_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def _without_large_texts(data: bytes, work: Callable[[bytes], T]) -> T:
    """What ``work`` makes of an encoded image; a PNG whose texts or profile are larger than Pillow allows goes without them."""
    try:
        return work(data)
    except ValueError as error:
        if not (data.startswith(_PNG) and "MAX_TEXT_" in str(error)):
            raise
    parts, start = [_PNG], len(_PNG)
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")  # length, kind, content, checksum
        if data[start + 4 : start + 8] not in _TEXTS:
            parts.append(data[start:end])
        start = end
    return work(b"".join(parts))


def square(image: Any, side: int) -> np.ndarray:
    """(side, side, C) uint8: the short side resized to ``side`` (bilinear, antialiased), the centre cut out.

    Both in one step: the centred square is what is resized, so that an image of any shape costs no more than that.
    """
    from PIL import Image

    width, height = image.size
    if (width, height) != (side, side):
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def read_image(images: RawImages, row: int, channels: int) -> Any:
    """A row decoded, see :func:`decode`.

    Raises:
        CorruptImage: naming the row, for whatever hinders.
    """
    try:
        return decode(images.read(row), channels, _bound(images))
    except Exception as error:  # Pillow's decoders raise many kinds
        raise CorruptImage(unreadable([Failure(images.name(row), why(error))], 1)) from error


def _bound(images: RawImages) -> int:
    return images.max_pixels if isinstance(images, BoundedImages) else MOST_PIXELS


def why(error: Exception) -> str:
    """One line for what Pillow raises, of whatever class."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known kind"
    if isinstance(error, OSError) and error.strerror:  # without the path, which is told beside it
        return error.strerror
    return one_line(error) or type(error).__name__


@dataclass(frozen=True)
class Failure:
    """An image that could not be decoded: its name, and why."""

    name: str
    why: str


def unreadable(failures: Sequence[Failure], total: int) -> str:
    """One line about images that cannot be decoded."""
    first = failures[0]
    what = first.name if total == 1 or len(failures) == 1 else f"{len(failures)} of {total} images: first {first.name}"
    return f"Cannot read {what}: {first.why}. Mend or remove what is broken, or leave it out by --skip_corrupt."


@dataclass(frozen=True)
class Decoded:
    """Decoded rows, in the order asked for.

    pixels: (N, side, side, C) uint8; zero where a row failed.
    digests: (N, 16) uint8, a hash of each row's encoded bytes.
    failures: by position in the order asked for.
    """

    pixels: np.ndarray
    digests: np.ndarray
    failures: dict[int, Failure] = field(default_factory=dict)


def row_digest(data: bytes) -> bytes:
    """16 bytes that stand for an encoded image."""
    return hashlib.blake2b(data, digest_size=16).digest()


def decode_rows(images: RawImages, rows: np.ndarray, side: int, channels: int, what: str) -> Decoded:
    """Decode on all cores, with a progress bar called ``what`` when that takes long; with ``side`` 0 only to see
    whether it can be done.

    Threads suffice: Pillow lets go of the interpreter's lock while it decodes and resizes.
    """
    pixels = np.zeros((len(rows), side, side, channels), np.uint8)
    digests = np.zeros((len(rows), 16), np.uint8)
    failures: dict[int, Failure] = {}

    def one(position: int) -> None:
        row = int(rows[position])
        try:
            data = images.read(row)
            digests[position] = np.frombuffer(row_digest(data), np.uint8)
            image = decode(data, channels, _bound(images))
            if side:
                pixels[position] = square(image, side)
        except Exception as error:  # Pillow's decoders raise many kinds
            failures[position] = Failure(images.name(row), why(error))

    _for_all(len(rows), one, what)
    return Decoded(pixels, digests, dict(sorted(failures.items())))


@dataclass(frozen=True)
class Scan:
    """What the headers of images say: (n, 2) width and height, upright, and whether none has colour."""

    sizes: np.ndarray
    grey: bool


def scan(images: RawImages, rows: np.ndarray) -> Scan:
    """Read headers only; rows that cannot be read are left out."""
    from PIL import Image

    sizes = np.zeros((len(rows), 2), np.int64)
    grey = np.ones(len(rows), bool)

    across = (
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    )

    def header(data: bytes) -> tuple[tuple[int, int], bool]:
        with Image.open(io.BytesIO(data)) as image:
            turned = _turn(image) in across and image.format != "TIFF"  # of which Pillow tells the upright size
            width, height = image.size
            return (height, width) if turned else (width, height), image.mode in GREY_MODES

    def one(position: int) -> None:
        try:
            sizes[position], grey[position] = _without_large_texts(images.read(int(rows[position])), header)
        except Exception:  # told with all others when images are decoded
            sizes[position] = 0

    _for_all(len(rows), one, "looking at images")
    read = sizes[:, 0] > 0
    return Scan(sizes[read], bool(grey[read].all()))


def _for_all(count: int, one: Callable[[int], None], what: str) -> None:
    from tqdm.auto import tqdm

    def some(start: int) -> int:
        positions = range(start, min(start + _CHUNK, count))
        for position in positions:
            one(position)
        return len(positions)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about single images: thousands of lines
        with (
            ThreadPoolExecutor(usable_cores()) as pool,
            tqdm(total=count, desc=what, unit=" images", disable=None, leave=False, delay=1) as bar,
        ):
            try:
                for done in pool.map(some, range(0, count, _CHUNK)):
                    bar.update(done)
            except BaseException:  # an interrupt should not wait for the rest
                pool.shutdown(wait=False, cancel_futures=True)
                raise
