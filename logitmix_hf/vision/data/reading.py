"""Encoded images to splits: decoded once or found in the cache, what is broken left out or named, all of it hashed."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from logitmix_hf.data.left_out import LeftOut
from logitmix_hf.errors import UserError, printable
from logitmix_hf.vision.data.cache import cache_file, load_decoded, save_decoded
from logitmix_hf.vision.data.decode import (
    CorruptImage,
    Decoded,
    Failure,
    RawImages,
    decode_rows,
    row_digest,
    unreadable,
    why,
)
from logitmix_hf.vision.data.sizes import Shape
from logitmix_hf.vision.data.sources import RawSplit
from logitmix_hf.vision.data.splits import MemorySplit, Split, StreamedSplit

_SAMPLED = 10_000  # rows of a split, evenly spaced, whose bytes enter the fingerprint, however they are read


class SplitReader:
    """Reads splits of one shape, and remembers what it read.

    Attributes:
        splits: by name. skipped: how many rows were left out of each, where any were. left_out: which.
    """

    def __init__(self, shape: Shape, in_memory: bool, skip_corrupt: bool, folder: Path) -> None:
        self.splits: dict[str, Split] = {}
        self.skipped: dict[str, int] = {}
        self.left_out: dict[str, list[LeftOut]] = {}
        self._shape, self._in_memory, self._skip, self._folder = shape, in_memory, skip_corrupt, folder
        self._digests: dict[str, bytes] = {}

    def read(self, wanted: Mapping[str, tuple[RawSplit, np.ndarray]]) -> None:
        """Make splits of rows of the same images: name -> (raw split, positions in it).

        Raises:
            CorruptImage: naming the first image that cannot be decoded, unless such are to be skipped.
            UserError: when none is left.
        """
        images = next(iter(wanted.values()))[0].images
        rows = np.unique(np.concatenate([raw.rows[positions] for raw, positions in wanted.values()]))
        what = " and ".join(wanted)
        decoded, bad = None, np.zeros(len(rows), bool)
        if self._in_memory or self._skip:
            decoded = self._decoded(images, rows, self._shape.stored if self._in_memory else 0, what)
            if decoded.failures and not self._skip:
                raise CorruptImage(unreadable(list(decoded.failures.values()), len(rows)))
            bad[list(decoded.failures)] = True
            if 2 * len(decoded.failures) > len(rows):
                first = next(iter(decoded.failures.values()))
                raise UserError(
                    f"{len(decoded.failures)} of {len(rows)} images of {what} cannot be read, more than are left out (half):"
                    f" first {first.name}: {first.why}. Mend them or take them away."
                )
        for name, (raw, positions) in wanted.items():
            at = np.searchsorted(rows, raw.rows[positions])
            good = ~bad[at]
            failed = [] if decoded is None else [decoded.failures[row] for row in at[~good].tolist()]
            at, positions = at[good], positions[good]
            if not len(at):
                first = "" if decoded is None else f": first {next(iter(decoded.failures.values())).name}"
                raise UserError(f"{raw.where} has no image that can be read{first}.")
            if not good.all():
                self.skipped[name] = int((~good).sum())
                first = failed[0]
                self.left_out[name] = [LeftOut(_place(one.name), one.why) for one in failed]
                warnings.warn(
                    f"{self.skipped[name]} of {len(good)} images of {name} cannot be read and were left out, first"
                    f" {printable(first.name)}: {first.why}",
                    stacklevel=4,
                )
            self._add(name, raw, positions, at, decoded)

    def _add(self, name: str, raw: RawSplit, positions: np.ndarray, at: np.ndarray, decoded: Decoded | None) -> None:
        labels = None if raw.labels is None else raw.labels[positions]
        idx, shape = raw.rows[positions], self._shape
        if decoded is not None and self._in_memory:
            self.splits[name] = MemorySplit(decoded.pixels, labels, name=name, idx=idx, at=at, size=shape.size)
        else:
            self.splits[name] = StreamedSplit(
                raw.images, idx, labels, name=name, size=shape.size, channels=shape.channels, stored=shape.stored
            )
        digest = hashlib.sha256(b"" if labels is None else labels.astype("<i8").tobytes())
        sample = np.linspace(0, len(idx) - 1, min(_SAMPLED, len(idx))).astype(np.int64)
        if decoded is not None:
            digest.update(decoded.digests[at[sample]].tobytes())
        else:
            for row in idx[sample].tolist():
                digest.update(row_digest(_read(raw.images, row)))
        self._digests[name] = digest.digest()

    def _decoded(self, images: RawImages, rows: np.ndarray, side: int, what: str) -> Decoded:
        """From the cache, or decoded and kept there."""
        channels = self._shape.channels
        key = getattr(images, "key", None)
        if key is None:
            return decode_rows(images, rows, side, channels, f"decoding {what}")
        path = cache_file(self._folder, key, None if len(rows) == len(images) else rows, side, channels)
        found = load_decoded(path)
        if found is not None and len(found.pixels) == len(rows):
            return found
        made = decode_rows(images, rows, side, channels, f"decoding {what}")
        cached = load_decoded(path) if save_decoded(path, made) else None
        return made if cached is None else cached  # mapped pages can be given back to the system, an array cannot

    def fingerprint(self, label_names: Sequence[str]) -> str:
        """16 hex digits of the SHA-256 of names, labels and up to 10,000 encoded images a split, in memory or streamed."""
        digest = hashlib.sha256("\0".join(label_names).encode())
        for name in sorted(self._digests):
            digest.update(name.encode() + self._digests[name])
        return digest.hexdigest()[:16]


def _place(name: str) -> str:
    """A row, or class and file, without the folders of this machine."""
    return name.partition(" of ")[0] if name.startswith("row ") else "/".join(Path(name).parts[-2:])


def _read(images: RawImages, row: int) -> bytes:
    try:
        return images.read(row)
    except OSError as error:
        raise CorruptImage(unreadable([Failure(images.name(row), why(error))], 1)) from error
