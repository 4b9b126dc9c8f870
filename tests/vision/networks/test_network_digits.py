"""The small network learns real digits in seconds."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from logitmix_hf.vision.networks import build_network


def test_digits_are_learnt() -> None:
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16 - 0.5
    labels = torch.tensor(data.target)
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[:1400], order[1400:]
    torch.manual_seed(0)
    model = build_network("digits", 10, 8, channels=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(4):
        for rows in torch.randperm(len(train)).split(64):
            picked = train[rows.numpy()]
            F.cross_entropy(model(images[picked]).logits, labels[picked]).backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        right = model.eval()(images[test]).logits.argmax(-1) == labels[test]
    assert right.float().mean() > 0.95
