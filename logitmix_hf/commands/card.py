"""``logitmix card RUN``: write the model card of a finished run again, from what its folder holds.

What you wrote into the card stays: sections of yours, sections of ours that you changed, and your metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from logitmix_hf.commands.finished import finished_run
from logitmix_hf.flags import FlagParser, formatter
from logitmix_hf.process import guarded
from logitmix_hf.reporting.benchmark import write_eval_results
from logitmix_hf.reporting.card import write_card


@dataclass(frozen=True)
class CardSettings:
    """How the card is written."""

    overwrite: bool = field(default=False, metadata={"help": "replace the card whole, with what you wrote into it"})
    eval_results: bool = field(
        default=False,
        metadata={"help": "write .eval_results/*.yaml too, which leaderboards of the Hub's benchmark data sets read"},
    )


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _card(list(argv)))


def _card(words: list[str]) -> int:
    parser = FlagParser([CardSettings], prog="logitmix card", formatter_class=formatter, description=__doc__)
    folder, (settings,) = finished_run(parser, words, "card")
    if settings.eval_results:
        write_eval_results(folder)
    kept = write_card(folder, overwrite=settings.overwrite)
    print(f"wrote {folder.path / 'README.md'}")
    if kept:
        print(f"kept as you changed them: {', '.join(kept)} (--overwrite replaces them)")
    return 0
