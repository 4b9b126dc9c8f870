"""``logitmix card RUN``: write the model card of a finished run again, from what its folder holds.

What you wrote into the card stays: sections of yours, sections of ours that you changed, and your metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.commands.finished import RUN, finished_run
from logitmix_hf.errors import say
from logitmix_hf.flags import FlagParser, option, word
from logitmix_hf.reporting.benchmark import write_eval_results
from logitmix_hf.reporting.card import write_card


@dataclass(frozen=True)
class CardSettings:
    """Whose card is written, and how."""

    run: str = word(*RUN)
    overwrite: bool = option(False, "replace the card whole, with what you wrote into it")
    eval_results: bool = option(
        False, "write .eval_results/*.yaml too, which leaderboards of the Hub's benchmark data sets read"
    )


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([CardSettings], prog="logitmix card", description=__doc__).parse(argv)[0]
    folder = finished_run(settings.run)
    with folder.writing():
        if settings.eval_results:
            write_eval_results(folder)
        edited = write_card(folder, overwrite=settings.overwrite)
    say(f"wrote {folder.path / 'README.md'}", out=True)
    if edited:
        say(f"kept as you changed them: {', '.join(edited)} (--overwrite replaces them)", out=True)
    return 0
