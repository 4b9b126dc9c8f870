"""Transport is deferred acceptance, leaves no shown place without a block, and comes close to the best assignment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from logitmix_hf.vision.mixers.puzzle import transport
from logitmix_hf.vision.mixers.puzzle.transport import assign, cut, join, move


def distances(n: int) -> np.ndarray:
    """(n n, n n) squared distance of block i and place j over (n - 1)^2."""
    y, x = np.divmod(np.arange(n * n), n)
    return ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / (n - 1) ** 2


def costs(saliency: np.ndarray, shown: np.ndarray, eps: float) -> np.ndarray:
    return eps * distances(len(saliency)) - saliency.reshape(-1, 1) * shown.reshape(-1)


def gale_shapley(cost: np.ndarray, distance: np.ndarray) -> list[int]:
    """Which block each place keeps when every block asks place after place, the nearer of equals first, by the book."""
    cells = len(cost)
    wishes = [sorted(range(cells), key=lambda j: (cost[i, j], distance[i, j], j)) for i in range(cells)]
    turn, holder, asking = [0] * cells, [-1] * cells, list(range(cells))
    while asking:
        i = asking.pop()
        j = wishes[i][turn[i]]
        turn[i] += 1
        k = holder[j]
        if k < 0 or (cost[i, j], i != j, i) < (cost[k, j], k != j, k):
            holder[j] = i
            if k >= 0:
                asking.append(k)
        else:
            asking.append(i)
    return holder


def case(rng: np.random.Generator, n: int, peaked: float = 1.0):
    saliency = rng.random((n, n)) ** (4 * peaked)
    return saliency / saliency.sum(), rng.random((n, n)) < rng.random()


@pytest.mark.parametrize("n", [2, 3, 4, 8])
@pytest.mark.parametrize("eps", [0.0, 0.05, 0.8])
def test_shown_places_hold_what_deferred_acceptance_gives_them(n, eps):
    """Though hidden places are left out here, and blocks that could never win do not ask."""
    rng = np.random.default_rng(n)
    moved = 0
    cases = [case(rng, n, peaked=rng.choice([0.2, 1, 4])) for _ in range(30 if n < 8 else 6)]
    saliency, shown = (np.stack(x) for x in zip(*cases, strict=True))
    for s, z, found in zip(saliency, shown, assign(saliency, shown, eps), strict=True):
        stable = np.array(gale_shapley(costs(s, z, eps), distances(n))).reshape(n, n)
        np.testing.assert_array_equal(found, np.where(z, stable, -1))
        moved += (found != np.arange(n * n).reshape(n, n))[z].sum()
    assert moved > 5


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([2, 3, 5, 8]).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, (2, n, n), elements=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0])),
            hnp.arrays(np.bool_, (2, n, n)),
        )
    ),
    st.sampled_from([0.0, 0.01, 0.8, 100.0]),
)
def test_every_shown_place_gets_a_block_of_its_own(case, eps):
    """With ties and blocks without any saliency too, where the authors' code leaves places black."""
    saliency, shown = case
    saliency = saliency / np.maximum(saliency.sum((1, 2), keepdims=True), 1e-9)
    found = assign(saliency, shown, eps)
    assert ((found >= 0) == shown).all()
    n = shown.shape[1]
    stay = np.arange(n * n).reshape(n, n)
    for s, z, image in zip(saliency, shown, found, strict=True):
        blocks = image[z]
        assert len(set(blocks)) == len(blocks)
        cost = costs(s, z, eps)
        # No place is worse off than with its own block.
        assert (cost[blocks, stay[z]] <= cost[stay[z], stay[z]]).all()
    if eps == 100.0:  # moving costs more than all saliency is worth
        assert (found == np.where(shown, stay, -1)).all()


def test_a_salient_block_moves_to_where_it_shows():
    saliency = np.full((1, 4, 4), 0.01)
    saliency[0, 0, 0] = 0.85
    shown = np.zeros((1, 4, 4), bool)
    shown[0, 2:, 2:] = True
    found = assign(saliency, shown, 0.8)[0]
    # (2, 2) is the nearest: 0.8 * 8 / 9 = 0.71 is less than 0.85 - 0.01.
    assert found.tolist() == [[-1] * 4, [-1] * 4, [-1, -1, 0, 11], [-1, -1, 14, 15]]
    saliency[0, 0, 0] = 0.7
    assert assign(saliency, shown, 0.8)[0, 2, 2] == 10


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_close_to_the_best_assignment(n):
    rng = np.random.default_rng(n)
    gaps = []
    cases = [case(rng, n) for _ in range(30)]
    saliency, shown = (np.stack(x) for x in zip(*cases, strict=True))
    place = np.arange(n * n)
    for s, z, found in zip(saliency, shown, assign(saliency, shown, 0.8), strict=True):
        weighed = costs(s, z, 0.8) * z.reshape(-1)
        best = weighed[linear_sum_assignment(weighed)].sum()
        ours = weighed[found[z], place[z.reshape(-1)]].sum()
        gaps.append(ours - best)
    assert min(gaps) > -1e-12
    assert np.mean(gaps) < 0.02
    assert max(gaps) < 0.08


def test_a_batch_too_large_for_one_go_is_divided(monkeypatch):
    rng = np.random.default_rng(5)
    cases = [case(rng, 8) for _ in range(9)]
    saliency, shown = (np.stack(x) for x in zip(*cases, strict=True))
    whole = assign(saliency, shown, 0.1)
    monkeypatch.setattr(transport, "PAIRS", 1)
    np.testing.assert_array_equal(assign(saliency, shown, 0.1), whole)


@pytest.mark.parametrize("channels_last", [False, True])
def test_blocks_are_cut_moved_and_joined_whole(channels_last):
    """A 6 x 4 image of four blocks, by hand."""
    images = torch.arange(2 * 3 * 6 * 4.0).reshape(2, 3, 6, 4)
    images = images.contiguous(memory_format=torch.channels_last) if channels_last else images
    assert torch.equal(join(cut(images, 2), images.shape), images)
    sources = torch.tensor([[[3, -1], [0, 1]], [[-1, -1], [-1, 2]]])
    moved = join(move(cut(images, 2), torch.tensor([1, 1]), sources), images.shape)
    image = images[1]
    assert torch.equal(moved[0, :, :3, :2], image[:, 3:, 2:])
    assert torch.equal(moved[0, :, :3, 2:], image[:, :3, 2:])
    assert torch.equal(moved[0, :, 3:, :2], image[:, :3, :2])
    assert torch.equal(moved[0, :, 3:, 2:], image[:, :3, 2:])
    assert torch.equal(moved[1, :, 3:, 2:], image[:, 3:, :2])
