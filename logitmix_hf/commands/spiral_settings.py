"""What ``logitmix spiral`` draws, and where it writes; without torch."""

from __future__ import annotations

from dataclasses import dataclass

from logitmix_hf.errors import check_number
from logitmix_hf.flags import option

PICTURE, NUMBERS = "spiral.png", "spiral.json"
INNER, OUTER = 0.2, 2.0
"""Radii at which an arm begins and ends."""


@dataclass(frozen=True)
class SpiralSettings:
    """What is trained, and where the picture goes."""

    output_dir: str = option("runs/spiral", "folder of the picture and the numbers")
    steps: int = option(3000, "optimiser steps of each method, all points at each")
    points: int = option(300, "training points, half of them on each arm")
    noise: float = option(0.05, "standard deviation of the points around their arm")
    cycles: float = option(1.5, "turns of an arm on its way from radius 0.2 to 2")
    seed: int = option(42, "of points, weights and mixing")
    overwrite: bool = option(False, "replace the picture and the numbers of a folder in use")

    def __post_init__(self) -> None:
        check_number("steps", self.steps, low=1)
        check_number("points", self.points, low=4, high=100_000)
        check_number("noise", self.noise, low=0, high=OUTER)
        check_number("cycles", self.cycles, low=0, high=10, open_low=True)
        check_number("seed", self.seed, low=0)
