"""The model card: the README.md of a run, from what its folder holds."""

from __future__ import annotations

from logitmix_hf.reporting.card.use import relocated
from logitmix_hf.reporting.card.whole import model_card
from logitmix_hf.reporting.card.written import write_card

__all__ = ["model_card", "relocated", "write_card"]
