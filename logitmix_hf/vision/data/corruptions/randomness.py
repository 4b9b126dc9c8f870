"""Random numbers of a row for one corruption and severity, whatever batch the row is in."""

from __future__ import annotations

import numpy as np

from logitmix_hf.vision.data.corruptions.table import NAMES
from logitmix_hf.vision.data.draws import draw

_SALT = 0x0C0  # apart from the draws of augmentation, which begin at number 0


class RowDraws:
    """A generator for each row, whose key is a hash of seed, corruption, severity and the row's number.

    Args:
        idx: (B,) each row's number in its data.
    """

    def __init__(self, seed: int, name: str, severity: int, idx: np.ndarray) -> None:
        words = draw(seed, severity, idx, (_SALT << 8) + NAMES.index(name))
        self._rows = [np.random.Generator(np.random.Philox(key=int(word))) for word in words]

    def normal(self, *shape: int) -> np.ndarray:
        """(B, *shape) float32, standard normal."""
        return np.stack([row.standard_normal(shape, np.float32) for row in self._rows])

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """(B, *shape) float32 in [low, high)."""
        made = np.stack([row.random(shape, np.float32) for row in self._rows])
        return made * np.float32(high - low) + np.float32(low)

    def poisson(self, mean: np.ndarray) -> np.ndarray:
        """(B, …) of these means, one row of which is drawn by each generator."""
        return np.stack([row.poisson(one) for row, one in zip(self._rows, mean, strict=True)])
