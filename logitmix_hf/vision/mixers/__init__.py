"""The image mixers: one table, each row with its card."""

from __future__ import annotations

from logitmix_hf.vision.mixers import boxes, concat, linear, masks, patchup
from logitmix_hf.vision.mixers.mixer import MaskedPlan, Mixer
from logitmix_hf.vision.mixers.puzzle import PUZZLEMIX

__all__ = ["MIXERS", "MaskedPlan", "Mixer"]

MIXERS: dict[str, Mixer] = {
    mixer.name: mixer
    for mixer in (
        *linear.MIXERS,
        *boxes.MIXERS,
        *masks.MIXERS,
        *concat.MIXERS,
        *patchup.MIXERS,
        PUZZLEMIX,
    )
}
"""Every mixer by the name that ``--mixer`` takes."""
