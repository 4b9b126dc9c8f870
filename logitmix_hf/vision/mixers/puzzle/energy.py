"""The energy that PuzzleMix minimises in training (Kim et al., PuzzleMix, ICML 2020; as the authors train, with images).

A block keeps the share z = 1 - l / (L - 1) of the row itself. Keeping it costs the partner's saliency that is lost, and
giving it up costs its own; a prior pulls z towards the plan's share; neighbours with different z pay, the more so
where the two images do not continue each other. The authors' unit test has another pairwise term, z (1 - z') + z' (1 - z).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.errors import UserError


class Energy(NamedTuple):
    """What :func:`~logitmix_hf.vision.mixers.puzzle.minimise` takes: float64, on the CPU.

    Attributes:
        unary: (B, n, n, L), label l standing for z = 1 - l / (L - 1).
        down: (B, n-1, n) >= 0, weight of the squared difference of labels.
        right: (B, n, n-1) >= 0, likewise.
    """

    unary: Tensor
    down: Tensor
    right: Tensor


def pool_saliency(saliency: Tensor, blocks: int) -> Tensor:
    """The share of each block in its image's saliency: (B, H, W) >= 0 -> (B, blocks, blocks) float64 on the CPU, sum 1.

    An image without any saliency has the same share everywhere.

    Raises:
        UserError: for saliency that is negative or not finite.
    """
    low, high = saliency.aminmax()
    if not (low >= 0 and high < math.inf):
        raise UserError(f"saliency must be finite and at least 0, got values from {low:g} to {high:g}.")
    pooled = F.adaptive_avg_pool2d(saliency.detach().float().unsqueeze(1), blocks)[:, 0].cpu().double()
    total = pooled.sum((1, 2), keepdim=True)
    return torch.where(total > 0, pooled / torch.where(total > 0, total, 1), 1 / blocks**2)


def pixel_scale(images: Tensor, std: Sequence[float] | Tensor | None) -> Tensor:
    """(C, 1, 1) or (), what a difference of image values is multiplied by to be one of pixels in [0, 1].

    With ``std`` that of the normalisation, which the mean does not touch; without, the range of the batch becomes 1.

    Raises:
        UserError: when ``std`` is not one positive number a channel.
    """
    if std is None:
        low, high = images.detach().aminmax()
        spread = high - low
        return torch.where(spread == 0, 0, 1 / spread)
    scale = torch.as_tensor(std, dtype=images.dtype, device=images.device).reshape(-1)
    if len(scale) not in (1, images.shape[1]) or not bool((scale > 0).all()):
        raise UserError(f"std must be one positive number for each of {images.shape[1]} channels, got {std}.")
    return scale[:, None, None]


def contrasts(images: Tensor, scale: Tensor, partner: Tensor, blocks: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """How badly two images continue each other across the borders of blocks.

    Args:
        images: (B, C, H, W) float32 or float64.
        scale: see :func:`pixel_scale`.
        partner: (B,) int64.
        blocks: n, which divides H and W.
        neighbours: images are pooled to cells of so many pixels a side first, or of a block's side if that is less.

    Returns:
        (B, 2, 2, n-1, n) and (B, 2, 2, n, n-1) float64 on the CPU: phi[:, a, b] is the mean over border and channels of
        |upper or left block of image a - lower or right block of image b|, with 0 the row itself and 1 its partner.

    Raises:
        UserError: for images that are not finite.
    """
    tall, wide = (max(1, side // blocks // neighbours) for side in images.shape[2:])
    cells = F.adaptive_avg_pool2d(images.detach(), (blocks * tall, blocks * wide)) * scale
    above, below = cells[:, :, tall - 1 : -1 : tall], cells[:, :, tall::tall]
    left, beside = cells[..., wide - 1 : -1 : wide], cells[..., wide::wide]

    def compare(a: Tensor, b: Tensor, along: int, size: int) -> Tensor:
        gap = (a - b).abs().mean(1)
        return gap.unflatten(along, (blocks, size)).mean(along + 1)

    def table(one: Tensor, other: Tensor, along: int, size: int) -> Tensor:
        own = compare(one, other, along, size)
        rows = [own, compare(one, other[partner], along, size), compare(one[partner], other, along, size), own[partner]]
        return torch.stack(rows, 1).unflatten(1, (2, 2)).cpu().double()

    phi = table(above, below, 2, wide), table(left, beside, 1, tall)
    if not all(bool(torch.isfinite(part).all()) for part in phi):
        raise UserError("images must be finite, got NaN or infinity.")
    return phi


def log_prior(share: Tensor, levels: int) -> Tensor:
    """(B,) -> (B, L): log(P + 1e-8), P that of (L - 1) z successes in L - 1 trials of probability ``share``."""
    label = torch.arange(levels, dtype=torch.float64)
    ways = torch.tensor([math.comb(levels - 1, k) for k in range(levels)], dtype=torch.float64)
    share = share.double()[:, None]
    return (ways * share ** (levels - 1 - label) * (1 - share) ** label + 1e-8).log()


def puzzle_energy(
    own: Tensor,
    other: Tensor,
    share: Tensor,
    phi_down: Tensor,
    phi_right: Tensor,
    *,
    levels: int,
    beta: float,
    gamma: float,
    eta: float,
) -> Energy:
    """The energy as trained, constants dropped.

    E(z) = sum_i [z_i U2_i + (1 - z_i) U1_i - eta / n^2 log P(z_i)] + sum_ij w_ij (z_i - z_j)^2, where U1 and U2 are the
    saliencies of the row itself and its partner plus b gamma / 2 of the contrasts at the edges of block i, where i has
    the partner or the row itself; w_ij = b (1 + gamma / 2 (phi_12 + phi_21 - phi_11 - phi_22)), at least 0;
    b = beta / (16 n).

    Args:
        own, other: (B, n, n), shares of saliency.
        share: (B,) in [0, 1], the plan's.
        phi_down, phi_right: see :func:`contrasts`.
        levels: L.
    """
    n = own.shape[1]
    smooth = beta / (16 * n)
    # cost[image]: what a block pays where it shows this image (0 the row itself, 1 the partner).
    cost = torch.stack([other, own], 1).double()
    half = smooth * gamma / 2
    cost[:, :, :-1] += half * phi_down.sum(2)
    cost[:, :, 1:] += half * phi_down.sum(1)
    cost[..., :-1] += half * phi_right.sum(2)
    cost[..., 1:] += half * phi_right.sum(1)
    z = 1 - torch.arange(levels, dtype=torch.float64) / (levels - 1)
    unary = cost[:, 0, ..., None] * z + cost[:, 1, ..., None] * (1 - z)
    unary = unary - eta / n**2 * log_prior(share, levels)[:, None, None]

    def weight(phi: Tensor) -> Tensor:
        jump = phi[:, 0, 1] + phi[:, 1, 0] - phi[:, 0, 0] - phi[:, 1, 1]
        # Above gamma 1 a weight may fall below 0, where no cut is the minimum.
        return (smooth * (1 + gamma / 2 * jump)).clamp(min=0) / (levels - 1) ** 2

    return Energy(unary, weight(phi_down), weight(phi_right))
