"""PuzzleMix's adversarial option: noise that hurts, added to the images after the mask is found.

Draw :func:`adversarial_start`, take the gradient of the loss at ``images + start`` (its norm is the saliency of this
batch), make the noise with :func:`adversarial_noise`, and give it to the mixer as ``noise=``. The authors do so for the
rows themselves in one batch of ten (Tiny ImageNet: 0.15 of them), and for the partners likewise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from logitmix_hf.errors import UserError, check_number


def adversarial_start(
    images: Tensor,
    generator: torch.Generator,
    *,
    eps: float = 10.0,
    mean: Sequence[float] | Tensor = (0.0,),
    std: Sequence[float] | Tensor = (1.0,),
) -> Tensor:
    """Uniform noise of at most eps / 255 of the pixel range that leaves pixels in [0, 1], in the images' own units.

    Args:
        images: (B, C, H, W), ``(pixels - mean) / std``.
        generator: on the CPU.
        eps: in steps of 8-bit pixels, at least 0; the authors take 10.
    """
    check_number("eps", eps, low=0)
    mean, std = _channels("mean", mean, images), _channels("std", std, images)
    pixels = images.detach() * std + mean
    noise = (2 * torch.rand(images.shape, generator=generator) - 1).to(pixels) * (eps / 255)
    return ((pixels + noise).clamp(0, 1) - pixels) / std


def adversarial_noise(
    start: Tensor,
    gradient: Tensor,
    generator: torch.Generator,
    *,
    eps: float = 10.0,
    std: Sequence[float] | Tensor = (1.0,),
) -> Tensor:
    """One step of (eps + 2) / 255 along the sign of the gradient, kept within eps / 255, times one draw from (0, 1).

    Args:
        start: (B, C, H, W), from :func:`adversarial_start`.
        gradient: (B, C, H, W), of the loss at ``images + start``; its scale does not matter.
        generator: on the CPU.
        eps, std: as there.

    Returns:
        (B, C, H, W) noise in the images' own units.
    """
    check_number("eps", eps, low=0)
    std = _channels("std", std, start)
    noise = start * std + (eps + 2) / 255 * gradient.detach().sign().to(start)
    strength = torch.rand((), generator=generator).to(start)
    return strength * noise.clamp(-eps / 255, eps / 255) / std


def _channels(name: str, values: Sequence[float] | Tensor, images: Tensor) -> Tensor:
    """(C, 1, 1) or (1, 1, 1)."""
    numbers = torch.as_tensor(values, dtype=images.dtype, device=images.device).reshape(-1)
    if len(numbers) not in (1, images.shape[1]) or (name == "std" and not bool((numbers > 0).all())):
        raise UserError(
            f"{name} must be one number for each of {images.shape[1]} channels (std above 0), got {values}."
        )
    return numbers[:, None, None]
