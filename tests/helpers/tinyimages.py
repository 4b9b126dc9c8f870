"""Tiny image networks with weights that let something of an image through, and batches for them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    PreTrainedModel,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

from logitmix_hf import MixPlan
from logitmix_hf.vision.networks import build_network

LABELS, ROWS = 5, 4
_MAPS = {"hidden_sizes": [8, 16, 24], "depths": [1, 1, 1], "num_labels": LABELS}
_TOKENS = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS = {
    "resnet": ResNetConfig(**_MAPS, embedding_size=8, layer_type="basic"),
    "vit": ViTConfig(**_TOKENS, image_size=32, patch_size=8, num_labels=LABELS),
    "swin": SwinConfig(
        image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, drop_path_rate=0.0,
        num_labels=LABELS,
    ),
    "convnext": ConvNextConfig(**_MAPS, num_stages=3),
}  # fmt: skip
SIDES = {"digits": 8, **dict.fromkeys(CONFIGS, 32)}


def build(name: str = "digits") -> PreTrainedModel:
    """In evaluation mode, BatchNorm with the statistics of a batch."""
    torch.manual_seed(0)
    if name == "digits":
        model = build_network("digits", LABELS, 8)
    else:
        model = AutoModelForImageClassification.from_config(
            copy.deepcopy(CONFIGS[name])
        )  # each test writes into its own
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
            elif "layer_scale" in key or "lambda" in key:
                parameter.fill_(1.0)  # ConvNeXt begins with 1e-6, which would leave its blocks out
        model.train()(pixel_values=images(8, SIDES[name], seed=9))
    return model.eval()


def images(rows: int = ROWS, side: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(seed))


def batch_of(name: str = "digits", rows: int = ROWS) -> dict[str, Tensor]:
    return {"pixel_values": images(rows, SIDES[name])}


def plan_of(*lam: float) -> MixPlan:
    """Row i with row i - 1, by these shares of row i."""
    keep, rows = torch.tensor(lam or (0.3, 0.5, 0.8, 0.6)), len(lam) or ROWS
    return MixPlan(torch.stack([torch.arange(rows), torch.arange(rows).roll(1)], 1), torch.stack([keep, 1 - keep], 1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Rows:
    """Counts the rows that enter a module, call by call."""

    def __init__(self, module: nn.Module) -> None:
        self.calls: list[int] = []
        self.handle = module.register_forward_pre_hook(lambda module, args: self.calls.append(len(args[0])))
