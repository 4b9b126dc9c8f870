"""``logitmix spiral``: two spirals, four methods, and how sure each one is of every place of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from logitmix_hf.commands.spiral_settings import NUMBERS, PICTURE, SpiralSettings
from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError, say
from logitmix_hf.flags import FlagParser
from logitmix_hf.reporting.folder import check_place


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
