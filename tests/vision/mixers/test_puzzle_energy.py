"""The energy is the one that the authors train with, and the pixels that it looks at lie at the borders."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from logitmix_hf.errors import UserError
from logitmix_hf.vision.mixers.puzzle.energy import contrasts, pixel_scale, pool_saliency, puzzle_energy
from logitmix_hf.vision.mixers.puzzle.minimise import labelling_energy

BETA, GAMMA, ETA = 1.2, 0.5, 0.2


def pair(n: int, size: int, seed: int = 0):
    """Two images in [0, 1] paired with each other, and their shares of saliency."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64)
    saliency = pool_saliency(torch.rand(2, size, size, generator=generator, dtype=torch.float64), n)
    return images, saliency


def whole_energy(images, saliency, n, levels, lam=0.3, cell=4):
    partner = torch.tensor([1, 0])
    phi = contrasts(images, torch.tensor(1.0), partner, n, cell)
    share = torch.tensor([lam, 1 - lam], dtype=torch.float64)
    return puzzle_energy(saliency, saliency[partner], share, *phi, levels=levels, beta=BETA, gamma=GAMMA, eta=ETA)


def border(a, b, y, x, size, cell, below):
    """phi of block (y, x) of image a and the block below or beside it of image b: (C, H, W), pixel by pixel."""
    cells = []
    for start in range(0, size, cell):
        if below:
            rows, columns = y * size + size, x * size + start
            one = a[:, rows - cell : rows, columns : columns + cell]
            other = b[:, rows : rows + cell, columns : columns + cell]
        else:
            rows, columns = y * size + start, x * size + size
            one = a[:, rows : rows + cell, columns - cell : columns]
            other = b[:, rows : rows + cell, columns : columns + cell]
        cells.append(float((one.mean((1, 2)) - other.mean((1, 2))).abs().mean()))
    return sum(cells) / len(cells)


@pytest.mark.parametrize(("n", "pixels", "cell"), [(2, 16, 4), (2, 8, 4), (4, 4, 4), (3, 2, 2), (4, 1, 1)])
def test_contrasts_are_those_of_the_cells_on_both_sides_of_a_border(n, pixels, cell):
    images, _ = pair(n, n * pixels)
    down, right = contrasts(images, torch.tensor(1.0), torch.tensor([1, 0]), n, 4)
    assert down.shape == (2, 2, 2, n - 1, n)
    assert right.shape == (2, 2, 2, n, n - 1)
    for row, a, b in itertools.product(range(2), repeat=3):
        one, other = images[(row + a) % 2], images[(row + b) % 2]
        for y, x in itertools.product(range(n - 1), range(n)):
            assert down[row, a, b, y, x] == pytest.approx(border(one, other, y, x, pixels, cell, True))
            assert right[row, a, b, x, y] == pytest.approx(border(one, other, x, y, pixels, cell, False))


def differences(energy, labels, z, n, pairwise):
    """What ``energy`` says of each labelling less what the formula says: constant if they agree."""
    unary, down, right = (x[0].numpy() for x in energy)
    found = labelling_energy(*(np.repeat(x[None], len(labels), 0) for x in (unary, down, right)), labels)
    return np.array([e - pairwise(z[label]) for e, label in zip(found, labels, strict=True)])


def terms(images, saliency, n, levels, lam):
    """sum u + prior of one labelling, and phi by edge; written down from the paper's definitions."""
    pixels = images.shape[2] // n
    own, other = saliency.numpy()

    def unary(z):
        k = np.rint(z * (levels - 1)).astype(int)
        ways = np.vectorize(math.comb)(levels - 1, k)
        prior = -ETA / n**2 * np.log(ways * lam**k * (1 - lam) ** (levels - 1 - k) + 1e-8)
        return (z * other + (1 - z) * own + prior).sum()

    edges = [((y, x), (y + 1, x), True) for y in range(n - 1) for x in range(n)]
    edges += [((y, x), (y, x + 1), False) for y in range(n) for x in range(n - 1)]
    phi = {
        (p, q): [[border(images[a], images[b], *p, pixels, min(4, pixels), below) for b in (0, 1)] for a in (0, 1)]
        for p, q, below in edges
    }
    return unary, phi


def test_with_two_levels_it_is_unary_plus_contrast_plus_price_of_a_border():
    """sum u + b gamma phi_zz' + b [z != z'], up to a constant."""
    n, levels, lam = 3, 2, 0.3
    images, saliency = pair(n, 24)
    unary, phi = terms(images, saliency, n, levels, lam)
    b = BETA / (16 * n)

    def formula(z):
        total = unary(z)
        for (p, q), table in phi.items():
            shown = table[int(z[p] == 0)][int(z[q] == 0)]
            total += b * GAMMA * shown + b * (z[p] != z[q])
        return total

    labels = np.array(list(itertools.product(range(2), repeat=9))).reshape(-1, 3, 3)
    gap = differences(whole_energy(images, saliency, n, levels, lam), labels, np.array([1.0, 0.0]), n, formula)
    assert np.ptp(gap) < 1e-14


@pytest.mark.parametrize("levels", [3, 4])
def test_with_more_levels_it_is_the_energy_of_training(levels):
    """The bilinear contrast less sum w0 [z (1 - z) + z' (1 - z')], w0 the pixels' part of an edge's weight."""
    n, lam = 3, 0.7
    images, saliency = pair(n, 12, seed=1)
    unary, phi = terms(images, saliency, n, levels, lam)
    b = BETA / (16 * n)

    def formula(z):
        total = unary(z)
        for (p, q), table in phi.items():
            weights = np.outer([z[p], 1 - z[p]], [z[q], 1 - z[q]])
            jump = b * GAMMA / 2 * (table[0][1] + table[1][0] - table[0][0] - table[1][1])
            total += b * GAMMA * float((weights * table).sum()) + b * (z[p] - z[q]) ** 2
            total -= jump * (z[p] * (1 - z[p]) + z[q] * (1 - z[q]))
        return total

    labels = np.random.default_rng(0).integers(0, levels, (400, n, n))
    gap = differences(whole_energy(images, saliency, n, levels, lam), labels, np.linspace(1, 0, levels), n, formula)
    # The 1e-14 of float64 sums; the energy itself is of the order of 1.
    assert np.ptp(gap) < 1e-13


def test_weights_stay_within_the_bounds_of_pixels_between_0_and_1_and_above_0():
    n = 4
    images, saliency = pair(n, 16)
    b = BETA / (16 * n)
    energy = whole_energy(images.round(), saliency, n, 2, cell=1)
    for weight in (energy.down, energy.right):
        assert ((weight >= b * (1 - GAMMA) - 1e-15) & (weight <= b * (1 + GAMMA) + 1e-15)).all()
    phi = contrasts(images * 30, torch.tensor(1.0), torch.tensor([1, 0]), n, 1)
    options = {"levels": 2, "beta": BETA, "gamma": 3.0, "eta": ETA}
    wild = puzzle_energy(saliency, saliency.flip(0), torch.tensor([0.5, 0.5]), *phi, **options)
    assert wild.down.min() == 0


def test_saliency_becomes_shares_and_none_is_the_same_everywhere():
    saliency = torch.zeros(3, 4, 6)
    saliency[0, 0, 0] = 5e-30
    saliency[1] = 3
    pooled = pool_saliency(saliency, 2)
    assert pooled.dtype == torch.float64
    assert pooled[0].tolist() == [[1, 0], [0, 0]]
    assert torch.equal(pooled[1:], torch.full((2, 2, 2), 0.25, dtype=torch.float64))
    half = torch.full((1, 8, 8), 60000.0, dtype=torch.float16)  # whose sum is beyond half precision
    assert pool_saliency(half, 2).sum() == pytest.approx(1)


@pytest.mark.parametrize("bad", [-1e-3, float("nan"), float("inf")])
def test_saliency_that_is_none_is_refused(bad):
    saliency = torch.rand(2, 4, 4)
    saliency[1, 2, 3] = bad
    with pytest.raises(UserError, match="saliency must be finite and at least 0"):
        pool_saliency(saliency, 2)


def test_pixels_count_in_their_own_range():
    """De-normalised by std they are those of the image; without it the batch's range counts as 1."""
    images = torch.rand(2, 3, 8, 8)
    std = (0.2, 0.3, 0.5)
    normalised = (images - 0.4) / torch.tensor(std)[:, None, None]
    partner = torch.tensor([1, 0])
    for ours, truth in zip(
        contrasts(normalised, pixel_scale(normalised, std), partner, 4, 1),
        contrasts(images, torch.tensor(1.0), partner, 4, 1),
        strict=True,
    ):
        torch.testing.assert_close(ours, truth, rtol=1e-5, atol=1e-6)
    low, high = images.aminmax()
    assert float(pixel_scale(images * 7 - 3, None)) == pytest.approx(1 / (7 * float(high - low)), rel=1e-5)
    assert pixel_scale(torch.tensor([[[[2.0, 6.0]]]]), None) == 0.25
    assert pixel_scale(torch.ones(1, 1, 2, 2), None) == 0
    for wrong in ((0.2, 0.3), (0.0, 1.0, 1.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(UserError, match="one positive number for each of 3 channels"):
            pixel_scale(images, wrong)
