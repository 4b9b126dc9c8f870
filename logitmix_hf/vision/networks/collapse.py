"""A trained network of several members, written as a plain one."""

from __future__ import annotations

import copy
from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.vision.networks.members import Heads, Stems
from logitmix_hf.vision.networks.model import ConvNetForImageClassification


def collapsed(network: ConvNetForImageClassification) -> ConvNetForImageClassification:
    """A trained network of M members as a plain network of one: the same logits, a plain network's cost and size.

    The sum of the first convolutions is one convolution, the mean of the last layers is one layer; all between is shared.
    A temperature that was folded in stays in, and in the configuration.

    Args:
        network: with averaged logits; one without members comes back as a copy.

    Raises:
        UserError: for averaged probabilities, which no linear layer gives.
    """
    config = copy.deepcopy(network.config)
    if config.members > 1 and config.heads != 1 and config.ensemble_average != "logits":
        raise UserError(
            f"ensemble_average is {config.ensemble_average!r}: the logarithm of a mean of probabilities is no linear"
            " layer, so only a network with averaged logits can be written as a plain one."
        )
    config.members, config.encoders, config.heads = 1, None, None
    plain = ConvNetForImageClassification(config)
    bare: Any = copy.deepcopy(network)
    for name, module in list(bare.named_modules()):
        if isinstance(module, Stems | Heads):
            bare.set_submodule(name, module.collapsed())
    plain.load_state_dict(bare.state_dict())
    first = next(network.parameters())
    return plain.to(device=first.device, dtype=first.dtype).train(network.training)  # type: ignore[return-value]
