"""``logitmix spiral``: two spirals, four methods, and how sure each one is of every place of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError, check_number, say
from logitmix_hf.flags import FlagParser, option
from logitmix_hf.reporting.folder import check_place

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


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([SpiralSettings], prog="logitmix spiral", description=__doc__).parse(argv)[0]
    home = Path(settings.output_dir)
    _check_folder(home, settings.overwrite)
    # Here, and not at the top: torch takes seconds, and a misspelt flag does not need it.
    from logitmix_hf.commands import spiral_figure as figure
    from logitmix_hf.commands.spiral_task import training_points
    from logitmix_hf.reporting.files import to_json

    results, probabilities = figure.run(settings)
    points, labels = training_points(settings.points, settings.noise, settings.cycles, settings.seed)
    figure.draw(results, probabilities, points.numpy(), labels.numpy(), home / PICTURE)
    write_atomic(home / NUMBERS, to_json(figure.record(settings, results)).encode())
    told = [
        "undecided: training points with p within .3-.7; boundary: share of the disc of the arms with such a p;",
        f"ring conf: mean confidence outside the data. One seed, {settings.seed}: another draws another picture.",
    ]
    paths = [f"picture: {home / PICTURE}", f"numbers: {home / NUMBERS}"]
    say("", *figure.table(results).split("\n"), "", *told, "", *paths, out=True)
    return 0


def _check_folder(home: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, or holds anything while ``overwrite`` is false; write nothing."""
    check_place(home)
    if home.is_dir() and not overwrite and (names := sorted(entry.name for entry in home.iterdir())):
        raise UserError(
            f"The output folder {str(home)!r} already holds {names[0]!r}{' and more' if len(names) > 1 else ''}: "
            f"replace its {PICTURE} and {NUMBERS} by --overwrite, or give another --output_dir."
        )
