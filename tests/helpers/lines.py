"""The smallest models and data that Trainer trains: two numbers, their squared error, and points beside a line."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, IterableDataset
from transformers import PreTrainedConfig, PreTrainedModel


class Line(nn.Module):
    """Two numbers and their squared error; ``answer`` says in what form."""

    def __init__(self, answer: str = "tuple") -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.2))
        self.answer, self.config = answer, None

    def forward(self, x, labels=None, others=None):
        return _answer(self.answer, self.a * x + self.b, labels)


class PlaneConfig(PreTrainedConfig):
    model_type = "plane-of-a-test"


class Plane(PreTrainedModel):
    """The same as a model of transformers, noisy where its configuration says so."""

    config_class = PlaneConfig
    base_model_prefix = "plane"
    main_input_name = "x"

    def __init__(self, config) -> None:
        super().__init__(config)
        self.a, self.b = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.2))
        self.post_init()

    def forward(self, x, labels=None, **kwargs):
        y = self.a * x + self.b
        if self.training and getattr(self.config, "noisy", False):
            y = y + 0.1 * (torch.randn(1) + random.random() + np.random.rand())
        return _answer("tuple", y, labels)


class OnlyLoss(nn.Module):
    """Says whether it was told that nobody looks at its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.told = nn.Parameter(torch.ones(1)), []

    def forward(self, x=None, labels=None, skip_logits=None):
        self.told.append(skip_logits)
        return {"loss": (self.a * x - labels).square().mean(), "logits": x}


def _answer(form, y, labels):
    loss = () if labels is None else (F.mse_loss(y, labels),)
    if form == "dictionary":
        return {"output": y, **({"loss": loss[0]} if loss else {})}
    return (*loss, y, y) if form == "twice" else (*loss, y)


class Points(Dataset):
    def __init__(self, rows: int = 20, names=("labels",), labelled: bool = True) -> None:
        noise = torch.Generator().manual_seed(3)
        self.x = torch.randn(rows, generator=noise)
        self.y = 2 * self.x + 1 + 0.1 * torch.randn(rows, generator=noise)
        self.names = names if labelled else ()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return {"x": self.x[row], **dict.fromkeys(self.names, self.y[row])}


class Stream(IterableDataset):
    def __iter__(self):
        data = Points()
        yield from (data[row] for row in range(len(data)))


class Growing(Points):
    """Batches of four rows with as many numbers each, and other batches with more."""

    def __getitem__(self, row):
        size = 1 + row // 4
        return {"x": self.x[row].repeat(size), "labels": self.y[row].repeat(size)}


def columns():
    from datasets import Dataset as Table

    data = Points()
    return Table.from_dict({"x": data.x.tolist(), "labels": data.y.tolist(), "note": ["unused"] * len(data)})


def plane(**values):
    return Plane(PlaneConfig(**values))


def noisy():
    return plane(noisy=True)
