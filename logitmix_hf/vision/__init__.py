"""Images: mixers, networks and data; the same plan and the same loss as for text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.lazy import lazy_names

if TYPE_CHECKING:
    from logitmix_hf.vision.forward import ImageForward
    from logitmix_hf.vision.mixers import MIXERS
    from logitmix_hf.vision.network_table import NETWORKS
    from logitmix_hf.vision.networks import build_network, collapsed
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "forward": ["ImageForward"],
            "mixers": ["MIXERS"],
            "network_table": ["NETWORKS"],
            "networks": ["build_network", "collapsed"],
        },
    )

__all__ = ["MIXERS", "NETWORKS", "ImageForward", "build_network", "collapsed"]
