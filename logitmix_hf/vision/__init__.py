"""Images: mixers and data; the same plan and the same loss as for text."""

from __future__ import annotations

from logitmix_hf.vision.mixers import MIXERS

__all__ = ["MIXERS"]
