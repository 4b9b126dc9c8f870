"""PuzzleMix: which blocks of which image, decided by an exact cut; then salient blocks move to where they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers.pasting import MaskedPlan, both, carried_out
from logitmix_hf.vision.mixers.puzzle.energy import contrasts, pixel_scale, pool_saliency, puzzle_energy
from logitmix_hf.vision.mixers.puzzle.minimise import minimise
from logitmix_hf.vision.mixers.puzzle.transport import assign, cut, join, move

MOST_BLOCKS = 16
DRAWN_BLOCKS = (2, 4, 8, 16)
NOISY = {"both": (True, True), "own": (True, False), "partner": (False, True)}


def puzzlemix(
    images: Tensor,
    plan: MixPlan,
    generator: torch.Generator,
    *,
    saliency: Tensor,
    blocks: int | None = None,
    levels: int = 3,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    neighbours: int = 4,
    transport: bool = True,
    transport_size: int | None = 4,
    transport_eps: float = 0.8,
    mean: Sequence[float] | Tensor | None = None,
    std: Sequence[float] | Tensor | None = None,
    noise: Tensor | None = None,
    noisy: Literal["both", "own", "partner"] = "both",
) -> tuple[Tensor, MaskedPlan]:
    """Mix pairs by PuzzleMix (Kim et al., ICML 2020), as the authors train.

    Args:
        images: (B, C, H, W).
        plan: its shares enter the prior, each row's its own.
        generator: draws ``blocks`` where that is None, and nothing else.
        saliency: (B, H, W) >= 0, the norm over channels of the gradient of the loss; its scale does not matter.
        blocks: n blocks a side, 2 to 16, dividing H and W; None draws one of 2, 4, 8, 16 (those that divide).
        levels: shares that a block can have, 2 to 4: 0, 1 / (levels - 1), ..., 1.
        beta: price of a border between blocks of different shares; gamma: weight of the pixels in it; eta: of the prior.
        neighbours: pixels of a cell that the pixel term compares.
        transport: whether salient blocks move to where the mask shows them.
        transport_size: move blocks of this many pixels where the mask's are larger (at most 16 a side); None: the mask's.
        transport_eps: price of distance.
        mean, std: of the normalisation of the images, so that pixels count in [0, 1]; None: the batch's range counts as
            1. (The mean falls out of all differences: it is taken so that the two can travel together.)
        noise: (B, C, H, W), added after the mask is found (:func:`adversarial_noise`), to both or one of a pair as
            ``noisy`` says.

    Returns:
        The mixed images, and the plan with the exact share of each row.

    Raises:
        UserError: for options out of range, and blocks that do not divide the image.
    """
    _check_integer("levels", levels, 2, 4)
    _check_integer("neighbours", neighbours, 1)
    for name, value in (("beta", beta), ("gamma", gamma), ("eta", eta), ("transport_eps", transport_eps)):
        check_number(name, value, low=0)
    if transport_size is not None:
        _check_integer("transport_size", transport_size, 1)
    if noisy not in NOISY:
        raise UserError(f"noisy must be 'both', 'own' or 'partner', got {noisy!r}.")
    if noise is not None and noise.shape != images.shape:
        raise UserError(f"noise must have the images' shape {tuple(images.shape)}, got {tuple(noise.shape)}.")
    if (mean is None) != (std is None):
        raise UserError("give both mean and std of the normalisation, or neither.")
    n = _blocks(blocks, images, generator)
    size = images.shape[2:]
    # Half precision is too coarse for the differences, and for a sum of two products.
    x = images if images.dtype == torch.float64 else images.float()
    partner = plan.sources[:, 1]

    fine = _transport_blocks(n, size, transport_size) if transport else n
    salient = pool_saliency(saliency, fine)
    coarse = salient.unflatten(2, (n, -1)).unflatten(1, (n, -1)).sum((2, 4))
    pairs, share = partner.cpu(), plan.lam.cpu()
    phi = contrasts(x, pixel_scale(x, std), partner, n, neighbours)
    energy = puzzle_energy(coarse, coarse[pairs], share, *phi, levels=levels, beta=beta, gamma=gamma, eta=eta)
    own_share = torch.ones(len(x), n, n, dtype=torch.float64)
    mixes = share < 1
    own_share[mixes] = 1 - minimise(*(part[mixes] for part in energy)).double() / (levels - 1)

    own, other = x, x
    if noise is not None:
        to_own, to_other = NOISY[noisy]
        noise = noise.to(x)
        # A row that is not mixed stays what it is.
        own = x + noise * mixes.to(x).reshape(-1, 1, 1, 1) if to_own else x
        other = x + noise if to_other else x
    mask = own_share.to(x).repeat_interleave(size[0] // n, 1).repeat_interleave(size[1] // n, 2).unsqueeze(1)
    if transport:
        share_of = own_share.repeat_interleave(fine // n, 1).repeat_interleave(fine // n, 2)
        worth = torch.cat([salient, salient[pairs]]).numpy()
        shown = torch.cat([share_of > 0, share_of < 1]).numpy()
        sources = torch.from_numpy(assign(worth, shown, transport_eps)).to(x.device)
        own_blocks = cut(own, fine)
        other_blocks = own_blocks if other is own else cut(other, fine)
        own_blocks = move(own_blocks, plan.sources[:, 0], sources[: len(x)])
        other_blocks = move(other_blocks, partner, sources[len(x) :])
        mixed = join(other_blocks.lerp(own_blocks, share_of.to(x).reshape(-1, 1)), x.shape)
    else:
        mixed = other[partner].lerp(own, mask)
    mixed = mixed.to(images.dtype)
    if images.is_contiguous(memory_format=torch.channels_last):
        mixed = mixed.contiguous(memory_format=torch.channels_last)
    return mixed, carried_out(plan, both(mask.float()))


def _check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        most = "" if high is None else f" and at most {high}"
        raise UserError(f"{name} must be a whole number, at least {low}{most}, got {value!r}.")


def check_blocks(blocks: int | None, height: int, width: int) -> list[int]:
    """Which numbers of blocks a side divide an image of this size.

    Raises:
        UserError: when none does, or ``blocks`` is none of them.
    """
    dividing = [n for n in range(2, MOST_BLOCKS + 1) if height % n == 0 and width % n == 0]
    if not dividing:
        raise UserError(
            f"puzzlemix cuts an image into 2 to {MOST_BLOCKS} blocks a side, and none of these divides {height} x {width}: "
            "resize or crop."
        )
    if blocks is not None:
        _check_integer("blocks", blocks, 2, MOST_BLOCKS)
        if blocks not in dividing:
            listed = ", ".join(map(str, dividing))
            raise UserError(f"{blocks} blocks a side do not divide an image of {height} x {width}. These do: {listed}.")
    return dividing


def _blocks(blocks: int | None, images: Tensor, generator: torch.Generator) -> int:
    dividing = check_blocks(blocks, *images.shape[2:])
    if blocks is not None:
        return blocks
    # An image of, say, 9 x 9 has none of the authors' counts: then any that divides.
    choices = [n for n in DRAWN_BLOCKS if n in dividing] or dividing
    return choices[int(torch.randint(len(choices), (), generator=generator))]


def _transport_blocks(n: int, size: Sequence[int], smallest: int | None) -> int:
    """The finest grid within that of the mask whose blocks have at least ``smallest`` pixels a side; else the mask's."""
    if smallest is None:
        return n
    finer = (
        m for m in range(2 * n, MOST_BLOCKS + 1, n) if all(side % m == 0 and side // m >= smallest for side in size)
    )
    return max(finer, default=n)
