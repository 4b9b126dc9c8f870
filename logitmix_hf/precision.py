"""Double precision, where the device has it."""

from __future__ import annotations

import torch
from torch import Tensor

WITHOUT_FLOAT64 = {"mps"}
"""Kinds of device that have no float64 (Apple's Metal): making one there is an error."""


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device without it."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def exact(values: Tensor) -> Tensor:
    """``values`` in the widest floating type of their device."""
    return values.to(widest(values.device))
