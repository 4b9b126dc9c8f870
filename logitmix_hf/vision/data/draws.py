"""Random numbers without a state: each is a hash of what it is for, so batches, processes and resuming change none."""

from __future__ import annotations

import numpy as np

_STEP = 0x9E3779B97F4A7C15


def draw(seed: int, epoch: int, rows: np.ndarray, number: int) -> np.ndarray:
    """(B,) uint64, uniform: draw ``number`` of each row in an epoch.

    SplitMix64 (Steele, Lea, Flood 2014) twice: over seed, epoch and number, then over the rows from there.
    """
    key, rows = np.zeros((), np.uint64), np.asarray(rows).astype(np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        for part in (seed, epoch, number):
            key = _mix(key ^ np.uint64(part % 2**64))
        return _mix(_mix(rows + key) ^ key)


def of_copies(rows: np.ndarray, copies: np.ndarray | None) -> np.ndarray:
    """(B,) int64: what stands for a row in :func:`draw`, another word for each copy of it; copy 0 is the row itself."""
    if copies is None or not copies.any():
        return rows
    return rows ^ (np.asarray(copies, np.int64) << np.int64(40))


def below(numbers: np.ndarray, end: int | np.ndarray) -> np.ndarray:
    """Draws as int64 in [0, end); the remainder of 64 bits is uniform to one part in 2^50 for ends below 2^14."""
    return (numbers % np.asarray(end).astype(np.uint64)).astype(np.int64)


def fractions(numbers: np.ndarray) -> np.ndarray:
    """Draws as float64 in [0, 1), multiples of 2^-53."""
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(value: np.ndarray) -> np.ndarray:
    value = value + np.uint64(_STEP)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
