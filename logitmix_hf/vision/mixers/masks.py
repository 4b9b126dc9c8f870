"""Irregular masks: smooth noise, of which the highest pixels stay."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from logitmix_hf.errors import check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.precision import exact
from logitmix_hf.vision.mixers.pasting import MaskedPlan, draws, one_share, partners, paste_own


def _highest(noise: Tensor, keep: Tensor) -> Tensor:
    """(B, H, W) bool: true at the ``keep[b]`` highest pixels of row b; ``noise`` has a row for each or one for all.

    (1, H, W) where one mask is that of all rows.
    """
    rank = noise.flatten(1).argsort(1, descending=True).argsort(1)
    own = rank.to(keep.device) < keep[:, None]
    return own.reshape(len(keep), *noise.shape[1:])


def _lam(images: Tensor, plan: MixPlan, count: int) -> Tensor:
    """The shares that masks are made for: (B,), or (1,) where all rows have one mask."""
    return plan.lam if one_share(images, plan, count) is None else plan.lam[:1]


def _frequency(height: int, width: int) -> Tensor:
    """(H, W // 2 + 1) cycles a pixel of each entry of a real Fourier transform."""
    y, x = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.rfftfreq(width, dtype=torch.float64)
    return (y[:, None].square() + x.square()).sqrt()


def fmix(
    images: Tensor, plan: MixPlan, generator: torch.Generator, *, per: str = "batch", decay: float = 3.0
) -> tuple[Tensor, MaskedPlan]:
    """Low-frequency noise, of which the highest pixels stay (Harris et al. 2020)."""
    check_number("decay", decay, low=0)
    height, width = images.shape[2:]
    frequency = _frequency(height, width).clamp(min=1 / max(height, width))
    count = draws(len(images), per)
    parts = torch.randn(count, 2, *frequency.shape, generator=generator, dtype=torch.float64) / frequency**decay
    noise = torch.fft.irfft2(torch.complex(parts[:, 0], parts[:, 1]), s=(height, width))
    # A coin decides how the number of pixels is rounded, so that the mean share is the one drawn.
    up = torch.rand(count, generator=generator).to(images.device) < 0.5
    wanted = exact(_lam(images, plan, count)) * (height * width)
    keep = torch.where(up, (wanted - 1e-4).ceil(), (wanted + 1e-4).floor()).clamp(0, height * width)
    return paste_own(images, partners(images, plan), plan, _highest(noise, keep))


def cowmask(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    per: str = "batch",
    smallest: float = 4.0,
    largest: float = 16.0,
) -> tuple[Tensor, MaskedPlan]:
    """Blurred noise, of which the highest pixels stay (French et al. 2020)."""
    check_number("smallest", smallest, low=0, open_low=True)
    check_number("largest", largest, low=smallest)
    height, width = images.shape[2:]
    count = draws(len(images), per)
    place = torch.rand(count, generator=generator, dtype=torch.float64)
    sigma = smallest * (largest / smallest) ** place
    white = torch.randn(count, height, width, generator=generator, dtype=torch.float64)
    # A Gaussian of sigma pixels, as it looks to frequencies; it goes round the edges.
    smooth = torch.exp(-2 * (math.pi * sigma[:, None, None] * _frequency(height, width)).square())
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * smooth, s=(height, width))
    keep = (exact(_lam(images, plan, count)) * (height * width)).round()
    return paste_own(images, partners(images, plan), plan, _highest(noise, keep))
