"""The code of every mixer by its name; loaded when the first one is called."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from logitmix_hf.vision.mixers import boxes, concat, linear, masks, patchup
from logitmix_hf.vision.mixers.pasting import MaskedPlan
from logitmix_hf.vision.mixers.puzzle.puzzlemix import puzzlemix

FUNCTIONS: dict[str, Callable[..., tuple[Tensor, MaskedPlan]]] = {
    "mixup": linear.mixup,
    "cutmix": boxes.cutmix,
    "resizemix": boxes.resizemix,
    "saliencymix": boxes.saliencymix,
    "fmix": masks.fmix,
    "cowmask": masks.cowmask,
    "vconcat": concat.vconcat,
    "hconcat": concat.hconcat,
    "mixedconcat": concat.mixedconcat,
    "patchup_hard": patchup.hard,
    "patchup_soft": patchup.soft,
    "puzzlemix": puzzlemix,
}
"""(images, plan, generator, **options) -> (mixed, carried out), pure; what the options may be says the table."""
