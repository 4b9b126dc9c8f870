"""Convolutional networks for images of any size, as models of the Hub.

Importing this package makes them known to the Auto classes of transformers, and so to ``pipeline``. What can be said of
them without torch is in :mod:`logitmix_hf.vision.network_table`.
"""

from transformers import AutoConfig, AutoModelForImageClassification

from logitmix_hf.vision.network_table import NETWORKS, STEMS, Network, network_names
from logitmix_hf.vision.networks.collapse import collapsed
from logitmix_hf.vision.networks.config import ConvNetConfig
from logitmix_hf.vision.networks.members import Heads, Stems, with_members
from logitmix_hf.vision.networks.model import ConvNetForImageClassification, build_network
from logitmix_hf.vision.networks.processor import image_processor
from logitmix_hf.vision.networks.reference import load_reference_weights, reference_names

__all__ = [
    "NETWORKS",
    "STEMS",
    "ConvNetConfig",
    "ConvNetForImageClassification",
    "Heads",
    "Network",
    "Stems",
    "build_network",
    "collapsed",
    "image_processor",
    "load_reference_weights",
    "network_names",
    "reference_names",
    "with_members",
]

AutoConfig.register(ConvNetConfig.model_type, ConvNetConfig, exist_ok=True)
AutoModelForImageClassification.register(ConvNetConfig, ConvNetForImageClassification, exist_ok=True)
