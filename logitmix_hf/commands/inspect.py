"""``logitmix inspect RUN``: how active the filters of a trained image network are, of every member and of the trunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.commands.finished import RUN, finished_run
from logitmix_hf.errors import UserError, say
from logitmix_hf.flags import FlagParser, word


@dataclass(frozen=True)
class InspectSettings:
    """Whose filters are looked at."""

    run: str = word(*RUN)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([InspectSettings], prog="logitmix inspect", description=__doc__).parse(argv)[0]
    folder = finished_run(settings.run)
    # Here, and not at the top: torch takes seconds, and a misspelt flag needs none of it.
    from logitmix_hf.modality import TEXT
    from logitmix_hf.models.filters import THRESHOLDS, filters_of
    from logitmix_hf.reporting.filters import filters_plot
    from logitmix_hf.serving.classifier import find_classifier

    found = find_classifier(str(folder.path))
    if found.modality == TEXT:
        raise UserError(
            f"{str(folder.path)!r} is a run of texts: logitmix inspect looks at convolutions of image networks."
        )
    filters = filters_of(found.load("cpu").model)
    shares = {f"{threshold:g}": filters.active(threshold) for threshold in THRESHOLDS}
    with folder.writing():
        folder.write_json(
            "inspect.json",
            {
                "stems": [norms.tolist() for norms in filters.stems],
                "active": shares,
                "layers": {name: norms.tolist() for name, norms in filters.trunk.items()},
            },
        )
        filters_plot(filters, folder.path / "filters.png", folder.path.name)
    say(f"{len(filters.stems)} first convolutions, {len(filters.trunk)} layers of the trunk", out=True)
    say("active filters: " + ", ".join(f"{share:.4f} above {name}" for name, share in shares.items()), out=True)
    say(f"wrote {folder.path / 'inspect.json'} and {folder.path / 'filters.png'}", out=True)
    return 0
