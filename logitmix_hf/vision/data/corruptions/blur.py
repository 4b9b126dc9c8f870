"""Blur: x (B, H, W, C) float32 in [0, 1] in, the same out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from logitmix_hf.vision.data.corruptions.linear import gaussian, separable, zoom
from logitmix_hf.vision.data.corruptions.randomness import RowDraws


def gaussian_blur(x: np.ndarray, sigma: float, draws: RowDraws) -> np.ndarray:
    """Of this standard deviation in pixels."""
    return separable(x, gaussian(x.shape[1], sigma), gaussian(x.shape[2], sigma))


@lru_cache(maxsize=8)
def _disk(radius: float, alias: float) -> np.ndarray:
    """(17, 17): a disk whose edge a Gaussian of three taps softens."""
    from scipy.ndimage import correlate1d

    place = np.arange(-8, 9)
    disk = (place[:, None] ** 2 + place**2 <= radius**2).astype(np.float64)
    soft = np.exp(-(np.arange(-1, 2) ** 2) / (2 * alias**2))
    for axis in (0, 1):
        disk = correlate1d(disk, soft / soft.sum(), axis, mode="constant")
    return disk / disk.sum()


def defocus_blur(x: np.ndarray, strength: tuple[float, float], draws: RowDraws) -> np.ndarray:
    """By a disk of this radius, softened by this much; the image is mirrored at its edge."""
    kernel, height, width = _disk(*strength), x.shape[1], x.shape[2]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    out = np.zeros_like(x)
    for down, across in np.argwhere(kernel > 1e-9):
        part = padded[:, down - 6 : down - 6 + height, across - 6 : across - 6 + width]
        out += part * np.float32(kernel[down, across])
    return out


def glass_blur(x: np.ndarray, strength: tuple[float, int, int], draws: RowDraws) -> np.ndarray:
    """Blurred, pixels moved by up to so many places in so many rounds, blurred again.

    The generator of the benchmark goes backwards over rows and columns and means to swap a pixel with one above or left of
    it, but both are views and so it copies. What is copied was not yet gone over: a round is one gather for all pixels.
    """
    sigma, most, rounds = strength
    rows, height, width, _ = x.shape
    x = np.floor(gaussian_blur(x, sigma, draws) * 255) / np.float32(255)
    down, across = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    moved = (down > most) & (down <= height - most) & (across > most) & (across <= width - most)
    number = np.arange(rows)[:, None, None]
    for _ in range(rounds):
        # -most … most - 1, as the generator draws them
        steps = np.floor(draws.uniform(height, width, 2, low=-most, high=most)).astype(np.int64) * moved[..., None]
        x = x[number, down + steps[..., 0], across + steps[..., 1]]
    return gaussian_blur(x, sigma, draws)


def motion_blur(x: np.ndarray, strength: tuple[float, float], draws: RowDraws) -> np.ndarray:
    """Along a line at up to 45 degrees from the horizontal, see :func:`streak`."""
    return streak(x, strength, draws.uniform(low=-45, high=45))


def streak(x: np.ndarray, strength: tuple[float, float], degrees: np.ndarray) -> np.ndarray:
    """One half of a Gaussian of this standard deviation, 2 radius + 1 taps long, along a line at the angle of each row, as
    ImageMagick has it; the edge is repeated outside."""
    radius, sigma = strength
    taps = np.arange(2 * int(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    angle, far = np.deg2rad(degrees), len(taps)
    padded = np.pad(x, ((0, 0), (far, far), (far, far), (0, 0)), mode="edge")
    out = np.zeros_like(x)
    for tap, weight in zip(taps, weights, strict=True):
        if weight < 1e-6:
            break
        moved = np.rint(np.stack([tap * np.sin(angle), tap * np.cos(angle)], 1)).astype(np.int64)
        places, at = np.unique(moved, axis=0, return_inverse=True)
        for number, (down, across) in enumerate(places):  # few places, many rows in each
            rows = np.flatnonzero(at.reshape(-1) == number)
            part = padded[rows, far + down : far + down + x.shape[1], far + across : far + across + x.shape[2]]
            out[rows] += weight * part
    return out


def zoom_blur(x: np.ndarray, steps: int, draws: RowDraws) -> np.ndarray:
    """The mean of the image and of so many zooms of its middle, by 1, 1.01, 1.02 …"""
    out = x.copy()
    for step in range(steps):
        out += separable(x, zoom(x.shape[1], 1 + step / 100), zoom(x.shape[2], 1 + step / 100))
    return out / np.float32(steps + 1)
