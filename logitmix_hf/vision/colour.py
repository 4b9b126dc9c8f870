"""A network of grey images, saved so that pictures in colour can be given to it, as every pipeline does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

GREY_OF_COLOUR = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, as Pillow makes it of colour (ITU-R 601); they sum to 1."""

OURS = "logitmix_"
"""What the types of our networks, and of ensembles of them, begin with."""


@contextmanager
def in_colour(
    model: Any, state: Mapping[str, torch.Tensor] | None = None
) -> Iterator[Mapping[str, torch.Tensor] | None]:
    """The weights to save of a stock network with one input channel, whose configuration says three meanwhile; of any other
    network ``state``, its weights where they were gathered, as it is.

    Stock processors and `pipeline` turn every picture into RGB and have no word for grey. The first convolution is linear:
    with its weights shared out by ``GREY_OF_COLOUR`` over three channels, normalised alike, it gives of a picture in colour
    what the network gave of its grey, and of three equal channels what it gave of one.
    """
    name = _first_grey(model)
    if name is None:
        yield state
        return
    weights = dict(model.state_dict() if state is None else state)
    grey = weights[name]
    weights[name] = grey * grey.new_tensor(GREY_OF_COLOUR).view(1, 3, 1, 1)
    model.config.num_channels = 3
    try:
        yield weights
    finally:
        model.config.num_channels = 1


def _first_grey(model: Any) -> str | None:
    """The weight of the convolution that takes grey pixels; None where none does. Our own networks take colour as well."""
    config = getattr(model, "config", None)
    kind = str(getattr(config, "model_type", ""))
    if getattr(config, "num_channels", None) != 1 or kind.startswith(OURS):
        return None
    convolutions = (
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == 1
    )
    return next(convolutions, None)
