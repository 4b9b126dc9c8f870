"""How texts longer than a model reads are read, as flags and ``config.json`` say it: names and checks, which load no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logitmix_hf.errors import check_number

RECORD = "long_texts"
"""The entry of ``config.json``."""
POOLED = "mean of the windows' logits, weighted by their tokens"
LONG_TEXTS = ("cut", "windows")


@dataclass(frozen=True)
class Windows:
    """How long texts are split.

    max_length: tokens of a window with its special ones. overlap: tokens that two neighbours share; at most half of the room
    that a window has for the text.
    """

    max_length: int
    overlap: int

    @classmethod
    def of(cls, max_length: int, overlap: int | None = None) -> Windows:
        """With a quarter of the length as the default overlap.

        Raises:
            UserError: for an overlap of more than half.
        """
        check_number("window_overlap", overlap, low=0, high=max_length // 2, optional=True)
        return cls(max_length, max_length // 4 if overlap is None else overlap)

    @classmethod
    def read(cls, config: Any, max_length: int | None = None) -> Windows | None:
        """As a configuration has it, with windows of another length where ``max_length`` says so; None: texts are cut."""
        record = getattr(config, RECORD, None)
        if not isinstance(record, Mapping) or record.get("read") != "windows":
            return None
        return cls.of(max_length or int(record["max_length"]), int(record["overlap"]))

    def record(self) -> dict[str, Any]:
        """What ``config.json`` says."""
        return {"read": "windows", "max_length": self.max_length, "overlap": self.overlap, "pooled": POOLED}


def settle_windows(config: Any, windows: Windows | None) -> None:
    """Let a configuration say how long texts are read."""
    if windows is not None:
        setattr(config, RECORD, windows.record())
    elif hasattr(config, RECORD):
        delattr(config, RECORD)
