"""PuzzleMix's adversarial noise: bounds and direction."""

from __future__ import annotations

import pytest
import torch

from logitmix_hf.errors import UserError
from logitmix_hf.vision.mixers.puzzle import adversarial_noise, adversarial_start


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_adversarial_noise_is_small_and_points_uphill():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)
    pixels = torch.rand(4, 3, 32, 32, generator=seeded())
    pixels[0, :, :4] = 0
    images = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    start = adversarial_start(images, seeded(), mean=mean, std=std) * torch.tensor(std)[:, None, None]
    assert start.abs().max() <= 10 / 255 + 1e-6
    assert start.abs().max() > 9 / 255
    assert (pixels + start).min() >= -1e-6
    assert (pixels + start).max() <= 1 + 1e-6
    gradient = torch.randn(images.shape, generator=seeded(1))
    strengths = []
    for seed in range(20):
        noise = adversarial_noise(start / torch.tensor(std)[:, None, None], gradient, seeded(seed), std=std)
        noise = noise * torch.tensor(std)[:, None, None] * 255 / 10
        strengths.append(float(noise.abs().max()))
        # The step of 12 outweighs a start of at most 10.
        assert torch.equal(noise.sign(), gradient.sign())
    assert 0 < min(strengths) < 0.3
    assert 0.7 < max(strengths) <= 1 + 1e-5
    none = adversarial_noise(start * 0, gradient * 0, seeded())
    assert (none == 0).all()
    with pytest.raises(UserError, match="std must be one number for each of 3 channels"):
        adversarial_start(images, seeded(), std=(0.5, 0.0, 0.5))
