"""How active the filters of a convolutional network are: what Ramé et al. (MixMo, ICCV 2021) draw in figure 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from logitmix_hf.errors import UserError

THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
"""Shares of a layer's largest filter, above which a filter counts as active; the paper takes 0.4."""


@dataclass(frozen=True)
class Filters:
    """L1 norms of filters.

    Attributes:
        stems: for each first convolution, (F,) float64, the norms of its filters.
        trunk: by name, (F,) float64, of every other convolution wider than 1x1; shortcuts are left out.
    """

    stems: tuple[np.ndarray, ...]
    trunk: dict[str, np.ndarray]

    def active(self, threshold: float) -> float:
        """The share of filters above ``threshold`` times the largest of their layer, a mean over the trunk's layers."""
        return float(np.mean([(norms > threshold * norms.max()).mean() for norms in self.trunk.values()]))


def filters_of(network: nn.Module) -> Filters:
    """The filters of a network of images; its first convolutions are the first one found and its equals beside it.

    Raises:
        UserError: for a network without a convolution behind the first.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    first = next(iter(layers), None)
    parent = "" if first is None else first.rpartition(".")[0]
    beside = parent and isinstance(network.get_submodule(parent), nn.ModuleList)
    stems = [name for name in layers if name == first or (beside and name.rpartition(".")[0] == parent)]
    trunk = {
        name: _norms(module)
        for name, module in layers.items()
        if name not in stems and max(module.kernel_size) > 1 and "shortcut" not in name
    }
    if not trunk:
        raise UserError(
            f"{type(network).__name__} has no convolutions behind its first one: there are no filters to look at."
        )
    return Filters(tuple(_norms(layers[name]) for name in stems), trunk)


def _norms(layer: nn.Conv2d) -> np.ndarray:
    return layer.weight.detach().cpu().double().abs().sum((1, 2, 3)).numpy()
