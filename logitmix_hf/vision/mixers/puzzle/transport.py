"""Moving salient blocks to where the mask shows them (PuzzleMix, section 4.2).

Block i of an image put in place j costs eps C_ij - s_i z_j: C is the squared distance over (n - 1)^2, s the block's share
of saliency, and z_j says whether the mask shows the image in place j. Each block asks for its cheapest place, each
place keeps the cheapest block that asks, and the others go on to the next: deferred acceptance (Gale and Shapley 1962).

Places that the mask hides do not matter, and that makes it small. A shown place is asked by its own block at once,
so it is never empty, which mends the authors' black block (a block without any saliency there tied with those that had
not asked); and only a block that is worth more there than its own, s_i - eps C_ij > s_j, can ever take it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Candidates handled at once; a batch with more is split.
PAIRS = 2**22


@lru_cache(maxsize=32)
def _offsets(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Steps (dy, dx) from a block, the nearest first, then in reading order; and their squared lengths."""
    dy, dx = (x.ravel() for x in np.mgrid[1 - n : n, 1 - n : n])
    order = np.argsort(dy * dy + dx * dx, kind="stable")
    dy, dx = dy[order], dx[order]
    return dy, dx, dy * dy + dx * dx


def assign(saliency: NDArray[np.float64], shown: NDArray[np.bool_], eps: float) -> NDArray[np.int64]:
    """Which block goes where, by deferred acceptance.

    Args:
        saliency: (R, n, n) >= 0, shares of saliency; n at least 2.
        shown: (R, n, n), whether the mask shows the image there.
        eps: price of distance, at least 0.

    Returns:
        (R, n, n) the number y n + x of the block that comes to each place: different blocks in all places that are
        shown, -1 in the others. Of equal places a block asks the nearest first, of equal offers a place keeps its own
        block, and else the first in reading order counts.
    """
    images, n, _ = saliency.shape
    cells = n * n
    worth, open_ = saliency.reshape(-1), shown.reshape(-1)
    dy, dx, squared = _offsets(n)
    price = eps * squared / (n - 1) ** 2
    # The first offset is the own place. No place is cheaper to win than the least salient one that is shown.
    least = np.where(shown, saliency, np.inf).min((1, 2), initial=np.inf)
    within = np.searchsorted(price, worth - np.repeat(least, cells), side="left")
    count = np.maximum(within - 1, 0)
    total = int(count.sum())
    if total > PAIRS and images > 1:
        half = images // 2
        return np.concatenate([assign(saliency[:half], shown[:half], eps), assign(saliency[half:], shown[half:], eps)])

    block = np.repeat(np.arange(images * cells), count)
    step = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + 1
    y, x = block // n % n + dy[step], block % n + dx[step]
    inside = np.flatnonzero((y >= 0) & (y < n) & (x >= 0) & (x < n))
    block, step = block[inside], step[inside]
    place = block // cells * cells + y[inside] * n + x[inside]
    offer = worth[block] - price[step]
    viable = np.flatnonzero(open_[place] & (offer > worth[place]))
    block, place, offer = block[viable], place[viable], offer[viable]

    holder = np.where(open_, np.arange(images * cells), -1)
    held = worth.copy()
    end = np.cumsum(np.bincount(block, minlength=images * cells))
    turn = np.concatenate([[0], end[:-1]])
    asking = np.flatnonzero(~open_ & (turn < end))
    while asking.size:
        now = turn[asking]
        turn[asking] += 1
        # The best offer of this round for each place ...
        order = np.lexsort((asking, -offer[now], place[now]))
        best = order[np.diff(place[now][order], prepend=-1) > 0]
        spot, bid, who = place[now[best]], offer[now[best]], asking[best]
        # ... against the block that is there.
        wins = (bid > held[spot]) | ((bid == held[spot]) & (who < holder[spot]))
        left = holder[spot[wins]]
        holder[spot[wins]], held[spot[wins]] = who[wins], bid[wins]
        asking = np.concatenate([np.delete(asking, best[wins]), left])
        asking = asking[turn[asking] < end[asking]]
    return np.where(open_, holder % cells, -1).reshape(images, n, n)


def cut(images: Tensor, n: int) -> Tensor:
    """(B, C, H, W) -> (B n n, C h w): the blocks of each image in reading order, h = H / n and w = W / n."""
    height, width = images.shape[2] // n, images.shape[3] // n
    blocks = images.unflatten(3, (n, width)).unflatten(2, (n, height))
    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(len(images) * n * n, -1)


def join(blocks: Tensor, shape: torch.Size) -> Tensor:
    """The images of ``shape`` whose blocks these are; undoes :func:`cut`."""
    rows, channels, height, width = shape
    n = math.isqrt(len(blocks) // rows)
    blocks = blocks.reshape(rows, n, n, channels, height // n, width // n)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(shape)


def move(blocks: Tensor, rows: Tensor, sources: Tensor) -> Tensor:
    """Blocks put in other places.

    Args:
        blocks: (B n n, D), from :func:`cut`.
        rows: (R,) int64, which image each row shows.
        sources: (R, n, n) int64, the number of the block that comes to each place; -1 leaves the one that is there.

    Returns:
        (R n n, D).
    """
    cells = sources[0].numel()
    sources = sources.flatten(1)
    sources = torch.where(sources < 0, torch.arange(cells, device=sources.device), sources)
    return blocks.index_select(0, (rows[:, None] * cells + sources).flatten())
