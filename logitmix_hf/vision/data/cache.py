"""Decoded pixels on disk: one file for the same rows at the same size, complete or absent, mapped into memory."""

from __future__ import annotations

import hashlib
import json
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch

from logitmix_hf.disk import replacing
from logitmix_hf.errors import one_line, printable
from logitmix_hf.vision.data.decode import Decoded, Failure

VERSION = 1
"""Of what is stored and of how images are decoded: a change of either leaves old files unread."""


def default_folder() -> Path:
    """A folder beside the data sets that ``datasets`` keeps."""
    from datasets import config

    return Path(config.HF_DATASETS_CACHE) / "logitmix_hf_images"


def cache_file(folder: Path, key: str, rows: np.ndarray | None, side: int, channels: int) -> Path:
    """Where the pixels of these rows (None: all) of the data called ``key`` lie."""
    digest = hashlib.sha256(f"{VERSION} {key} {side} {channels} ".encode())
    if rows is not None:
        digest.update(np.asarray(rows, np.int64).tobytes())
    return folder / f"{digest.hexdigest()[:32]}.safetensors"


def load_decoded(path: Path) -> Decoded | None:
    """What :func:`save_decoded` wrote, mapped (private: writing to it changes no file); None when there is no whole file, or
    one of other bytes than were written: a machine that stopped may leave zeros, and pixels look like any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["told"])
            pixels, digests = file.get_tensor("pixels").numpy(), file.get_tensor("digests").numpy()
            if told["crc32"] != _checksum(pixels, digests):
                return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return Decoded(
        pixels, digests, {int(position): Failure(*failure) for position, failure in told["failures"].items()}
    )


def save_decoded(path: Path, decoded: Decoded) -> bool:
    """Write atomically; without room or rights a warning, and False: the run goes on without a cache."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {"pixels": torch.from_numpy(decoded.pixels), "digests": torch.from_numpy(decoded.digests)}
    failures = {position: [failure.name, failure.why] for position, failure in decoded.failures.items()}
    told = {"failures": failures, "crc32": _checksum(decoded.pixels, decoded.digests)}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"told": json.dumps(told)})  # one key: of several the order is drawn
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"decoded images could not be kept in {printable(str(path.parent))}: {one_line(error)}", stacklevel=2
        )
        return False
    return True


def _checksum(*arrays: np.ndarray) -> int:
    found = 0
    for array in arrays:
        found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return found
