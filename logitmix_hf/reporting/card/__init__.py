"""The model card: the README.md of a run, from what its folder holds. ``card.md.j2`` is the card."""

from __future__ import annotations

from logitmix_hf.reporting.card.edits import relocated
from logitmix_hf.reporting.card.readme import model_card, write_card

__all__ = ["model_card", "relocated", "write_card"]
