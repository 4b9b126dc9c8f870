"""One stream of draws for each (task, split, seed), the same on every machine and NumPy version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """Random choices from one bit stream; never a global generator.

    NumPy promises that the raw stream of a bit generator stays the same in later versions, and promises it for no
    method of ``Generator``; so every choice here is made from the raw 64-bit words.
    """

    def __init__(self, seed: int, *names: str) -> None:
        words = np.frombuffer(hashlib.blake2b("/".join(names).encode(), digest_size=16).digest(), dtype="<u4")
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, *(int(word) for word in words)]))

    def uniform(self) -> float:
        """A number in [0, 1), a multiple of 2^-53."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def chance(self, probability: float) -> bool:
        """True with the probability given."""
        return self.uniform() < probability

    def choose(self, items: Sequence[T]) -> T:
        """One of the items, each as likely as the other."""
        return items[int(self.uniform() * len(items))]

    def other(self, items: Sequence[T], than: T) -> T:
        """One of the items that are not ``than``."""
        return self.choose([item for item in items if item != than])
