"""Noise: x (B, H, W, C) float32 in [0, 1] in, the same out; not yet clipped."""

from __future__ import annotations

import numpy as np

from logitmix_hf.vision.data.corruptions.randomness import RowDraws


def gaussian_noise(x: np.ndarray, scale: float, draws: RowDraws) -> np.ndarray:
    """Additive, of this standard deviation."""
    return x + draws.normal(*x.shape[1:]) * np.float32(scale)


def shot_noise(x: np.ndarray, photons: float, draws: RowDraws) -> np.ndarray:
    """Poisson, so many photons a white pixel."""
    return (draws.poisson(x * photons) / photons).astype(np.float32)


def impulse_noise(x: np.ndarray, amount: float, draws: RowDraws) -> np.ndarray:
    """This share of the values, channel by channel, becomes black or white."""
    drawn = draws.uniform(*x.shape[1:])
    return np.where(drawn < amount / 2, 0, np.where(drawn < amount, 1, x)).astype(np.float32)


def speckle_noise(x: np.ndarray, scale: float, draws: RowDraws) -> np.ndarray:
    """Multiplicative, of this standard deviation."""
    return x + x * draws.normal(*x.shape[1:]) * np.float32(scale)
