"""Nineteen corruptions of small images at five severities, made as those of CIFAR-10-C were.

What is made here is like CIFAR-C and is not it: the noise is drawn anew, frost is no photograph, and spatter and motion are
written without OpenCV and ImageMagick. Numbers on it compare with each other, and with no published one; those of
``official`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.vision.data.corruptions import blur, digital, noise, weather
from logitmix_hf.vision.data.corruptions.randomness import RowDraws
from logitmix_hf.vision.data.corruptions.table import EXTRA, NAMES, SEVERITIES, STRENGTHS, USUAL

__all__ = ["EXTRA", "NAMES", "SEVERITIES", "STRENGTHS", "USUAL", "choose", "corrupt"]

_FUNCTIONS: Mapping[str, Callable[[np.ndarray, Any, RowDraws], np.ndarray]] = {
    name: next(getattr(module, name) for module in (noise, blur, weather, digital) if hasattr(module, name))
    for name in NAMES
}


def corrupt(images: np.ndarray, name: str, severity: int, idx: np.ndarray, seed: int = 0) -> np.ndarray:
    """(B, H, W, C) uint8, C 1 or 3, to the same, corrupted.

    A row depends on its pixels, ``idx`` (its number in the data), the corruption, the severity and the seed, and on no other
    row of the batch. As in the benchmark's generator, values are cut to whole numbers and not rounded.

    Args:
        severity: 1 to 5.

    Raises:
        UserError: for an unknown corruption or severity.
    """
    strengths = pick(STRENGTHS, name, "corruption")
    if severity not in SEVERITIES:
        raise UserError(f"The severity of a corruption is 1 to 5, got {severity!r}.")
    images = np.asarray(images)
    if not len(images):
        return images.copy()
    x = images.astype(np.float32) / np.float32(255)
    made = _FUNCTIONS[name](x, strengths[severity - 1], RowDraws(seed, name, severity, idx))
    # half a thousandth: what is whole but for the rounding of float32 stays
    return (np.clip(made, 0, 1) * 255 + 5e-4).astype(np.uint8)


def choose(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """The corruptions that are asked for, joined by commas or in a list; all of :data:`NAMES` for None. In the table's order.

    Raises:
        UserError: for an unknown one, or none.
    """
    if names is None:
        return NAMES
    asked = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if not any(asked):
        raise UserError(f"--corruptions names none; there are: {', '.join(NAMES)}.")
    for name in asked:
        pick(dict.fromkeys(NAMES), name, "corruption")
    return tuple(name for name in NAMES if name in asked)
