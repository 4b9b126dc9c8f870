"""The image mixers: one table, each row with its card."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from logitmix_hf.vision.mixers.table import MIXERS, Mixer, Option

if TYPE_CHECKING:
    from logitmix_hf.vision.mixers.pasting import MaskedPlan

__all__ = ["MIXERS", "MaskedPlan", "Mixer", "Option"]


def __getattr__(name: str) -> Any:
    if name != "MaskedPlan":  # resolved on first use: the table must not wait for torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.pasting").MaskedPlan
