"""The machine that a classifier works on: device, type of the weights, and whether somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from logitmix_hf.errors import UserError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
"""What the weights may be held in, by torch's names. Read without importing torch: the command line lists them."""


def usable_device(device: str | None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        UserError: when it is not there.
    """
    import torch

    if device is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if found is None else found
    try:
        made = torch.device(device)
        torch.empty(1, device=made)
    except Exception as problem:  # torch raises many kinds for what was not built in or is not there
        raise UserError(
            f"The device {device!r} cannot be used here ({' '.join(str(problem).split())[:120]}); there is cpu"
            f"{', ' + found.type if (found := torch.accelerator.current_accelerator(check_available=True)) else ''}."
        ) from None
    return made


@contextmanager
def bars_for_people() -> Iterator[None]:
    """Without the progress bars of transformers where nobody watches."""
    from transformers.utils import logging

    bars_enabled = logging.is_progress_bar_enabled()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars_enabled:
            logging.enable_progress_bar()
