"""PuzzleMix: energy, exact minimum, transport, mixer."""

from __future__ import annotations

from logitmix_hf.vision.mixers.puzzle.adversarial import adversarial_noise, adversarial_start
from logitmix_hf.vision.mixers.puzzle.minimise import minimise
from logitmix_hf.vision.mixers.puzzle.puzzlemix import check_blocks
from logitmix_hf.vision.mixers.table import MIXERS

__all__ = ["PUZZLEMIX", "adversarial_noise", "adversarial_start", "check_blocks", "minimise"]

PUZZLEMIX = MIXERS["puzzlemix"]
