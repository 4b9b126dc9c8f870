"""The image mixers: one table, each row with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.lazy import lazy_names
from logitmix_hf.vision.mixers.table import MIXERS, Mixer, Option

if TYPE_CHECKING:
    from logitmix_hf.vision.mixers.pasting import MaskedPlan
else:
    __getattr__, __dir__ = lazy_names(__name__, {"pasting": ["MaskedPlan"]})

__all__ = ["MIXERS", "MaskedPlan", "Mixer", "Option"]
