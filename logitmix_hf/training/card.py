"""The card at the end of a training."""

from __future__ import annotations

from logitmix_hf.errors import say
from logitmix_hf.reporting.card import write_card
from logitmix_hf.reporting.card.edits import is_marked
from logitmix_hf.reporting.card.readme import CARD
from logitmix_hf.reporting.folder import RunFolder


def write_last_card(folder: RunFolder) -> None:
    """The card at the end of a training: around what somebody wrote into one of ours that stands there, because the run
    went on; one that does not say what of it is ours is of an older version, and is replaced."""
    card = folder.path / CARD
    edited = write_card(folder, overwrite=not (card.is_file() and is_marked(card.read_text(encoding="utf-8"))))
    if edited:
        say(f"{card}: kept as you changed them: {', '.join(edited)}")
