"""What is linear and the same for every image: a matrix on the rows of pixels and one on the columns, for a whole batch."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import numpy as np


def separable(x: np.ndarray, down: np.ndarray, across: np.ndarray | None = None) -> np.ndarray:
    """(B, H, W, C) float32 to (B, H', W', C): ``down`` (H', H) on columns, ``across`` (W', W; default ``down``) on rows."""
    rows, height, width, channels = x.shape
    across = down if across is None else across
    x = np.matmul(down, x.reshape(rows, height, width * channels))
    x = np.matmul(across, x.reshape(rows * len(down), width, channels))
    return x.reshape(rows, len(down), len(across), channels)


@lru_cache(maxsize=64)
def gaussian(side: int, sigma: float) -> np.ndarray:
    """(side, side) float32: a Gaussian filter cut at four standard deviations, the edge repeated outside."""
    from scipy.ndimage import gaussian_filter1d

    if sigma == 0:
        return np.eye(side, dtype=np.float32)
    return gaussian_filter1d(np.eye(side), sigma, axis=0, mode="nearest", truncate=4.0).astype(np.float32)


@lru_cache(maxsize=128)
def zoom(side: int, factor: float) -> np.ndarray:
    """(side, side) float32: the middle, linearly enlarged by a factor of 1 or more."""
    from scipy.ndimage import zoom as scipy_zoom

    kept = ceil(side / factor)
    first = (side - kept) // 2
    part = np.asarray(scipy_zoom(np.eye(kept), (factor, 1), order=1))
    trim = (len(part) - side) // 2
    made = np.zeros((side, side), np.float32)
    made[:, first : first + kept] = part[trim : trim + side]
    return made


@lru_cache(maxsize=64)
def box(before: int, after: int) -> np.ndarray:
    """(after, before) float32: Pillow's box filter from one side to another."""
    from PIL import Image

    identity = Image.fromarray(np.eye(before, dtype=np.float32))
    return np.asarray(identity.resize((before, after), Image.Resampling.BOX), np.float32)
