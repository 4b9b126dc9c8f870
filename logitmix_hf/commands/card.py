"""``logitmix card RUN``: write the model card of a finished run again, from what its folder holds.

What you wrote into the card stays: sections of yours, sections of ours that you changed, and your metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from logitmix_hf.commands.finished import RUN_HELP, finished_run
from logitmix_hf.errors import say
from logitmix_hf.flags import FlagParser, word
from logitmix_hf.process import guarded
from logitmix_hf.reporting.benchmark import write_eval_results
from logitmix_hf.reporting.card import write_card


@dataclass(frozen=True)
class CardSettings:
    """Whose card is written, and how."""

    run: str | None = word("RUN", RUN_HELP)
    overwrite: bool = field(default=False, metadata={"help": "replace the card whole, with what you wrote into it"})
    eval_results: bool = field(
        default=False,
        metadata={"help": "write .eval_results/*.yaml too, which leaderboards of the Hub's benchmark data sets read"},
    )


def parse(argv: Sequence[str]) -> CardSettings:
    """The flags as settings."""
    return FlagParser([CardSettings], prog="logitmix card", description=__doc__).parse(argv)[0]


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _card(parse(argv)))


def _card(settings: CardSettings) -> int:
    folder = finished_run(settings.run, "card")
    with folder.writing():
        if settings.eval_results:
            write_eval_results(folder)
        edited = write_card(folder, overwrite=settings.overwrite)
    say(f"wrote {folder.path / 'README.md'}", out=True)
    if edited:
        say(f"kept as you changed them: {', '.join(edited)} (--overwrite replaces them)", out=True)
    return 0
