"""The cut is the minimum: golden examples, every labelling of small grids, other solvers on larger ones."""

from __future__ import annotations

import functools
import itertools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import maximum_flow

from logitmix_hf.errors import UserError
from logitmix_hf.vision.mixers.puzzle import minimise
from logitmix_hf.vision.mixers.puzzle.minimise import labelling_energy, network

# The package shows the function under the name of its file.
minimise_module = sys.modules["logitmix_hf.vision.mixers.puzzle.minimise"]

THETA = [[[3, 1, 4], [2, 2, 1], [5, 3, 0]], [[0, 2, 6], [4, 1, 3], [2, 2, 2]], [[1, 1, 5], [6, 2, 0], [3, 0, 3]]]
DOWN = [[1, 2, 1], [2, 1, 1]]
RIGHT = [[1, 1], [2, 1], [1, 2]]


def cost(unary, down, right, labels) -> float:
    """E of one labelling, (n, n), by the definition."""
    n = len(labels)
    total = sum(unary[y, x, labels[y, x]] for y in range(n) for x in range(n))
    total += sum(down[y, x] * (labels[y, x] - labels[y + 1, x]) ** 2 for y in range(n - 1) for x in range(n))
    return total + sum(right[y, x] * (labels[y, x] - labels[y, x + 1]) ** 2 for y in range(n) for x in range(n - 1))


def every_cost(unary, down, right):
    """All labellings of one grid, (M, n, n), and the cost of each."""
    n, levels = unary.shape[0], unary.shape[2]
    labels = every_labelling(n, levels)
    at = sum(unary[y, x][labels[:, y, x]] for y in range(n) for x in range(n))
    steps = np.concatenate([labels[:, 1:] - labels[:, :-1], (labels[:, :, 1:] - labels[:, :, :-1]).swapaxes(1, 2)], 1)
    weights = np.concatenate([down, right.swapaxes(0, 1)]).reshape(-1)
    return labels, at + (steps**2).reshape(len(labels), -1) @ weights


@functools.cache
def every_labelling(n, levels):
    return np.array(list(itertools.product(range(levels), repeat=n * n)), dtype=np.int32).reshape(-1, n, n)


def instances(rng, rows, n, levels, high=1000, weight=200):
    unary = rng.integers(0, high, (rows, n, n, levels))
    return unary, rng.integers(0, weight, (rows, n - 1, n)), rng.integers(0, weight, (rows, n, n - 1))


@pytest.mark.parametrize(
    ("columns", "flow", "constant", "least", "labels"),
    [
        ([0, 1, 2], 32, -19, 13, [[1, 1, 2], [1, 1, 1], [1, 1, 1]]),
        ([0, 2], 4, 13, 17, [[0, 1, 1], [0, 1, 1], [0, 1, 1]]),
    ],
)
def test_the_worked_example(columns, flow, constant, least, labels):
    unary, down, right = (np.array([x]) for x in (THETA, DOWN, RIGHT))
    unary = unary[..., columns]
    graph = network(unary, down, right)
    nodes = 9 * (len(columns) - 1)
    assert maximum_flow(graph.capacities, nodes, nodes + 1).flow_value == flow
    assert graph.constant == constant
    found = minimise(unary, down, right)
    assert found.tolist() == [labels]
    assert cost(unary[0], down[0], right[0], found[0]) == least


def test_of_two_cells_with_four_minima_the_smallest_labels_are_taken():
    """theta (4, 3, 0) and (0, 3, 5), g = 1: 4 is reached by (0,0), (1,0), (2,0) and (2,1)."""
    far = [100, 100, 100]  # the rest of the 2 x 2 grid, held at label 0 and tied to nothing
    unary = np.array([[[[4, 3, 0], [0, 3, 5]], [[0, *far[:2]], [0, *far[:2]]]]])
    down, right = np.zeros((1, 1, 2), int), np.array([[[1], [0]]])
    labels, costs = every_cost(unary[0], down[0], right[0])
    best = {tuple(x[0]) for x in labels[costs == costs.min()]}
    graph = network(unary, down, right)
    assert maximum_flow(graph.capacities, 8, 9).flow_value == 4
    assert graph.constant == 0
    assert costs.min() == 4
    assert best == {(0, 0), (1, 0), (2, 0), (2, 1)}
    assert minimise(unary, down, right).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("levels", [2, 3])
def test_no_labelling_of_a_small_grid_costs_less(levels):
    batch = instances(np.random.default_rng(levels), 200, 3, levels)
    found = minimise(*batch)
    for unary, down, right, labels in zip(*batch, found, strict=True):
        _, costs = every_cost(unary, down, right)
        assert cost(unary, down, right, labels) == costs.min()


@pytest.mark.parametrize(("n", "levels"), [(2, 2), (2, 3), (2, 6), (3, 2)])
def test_of_several_minima_the_smallest_labels_are_taken(n, levels):
    batch = instances(np.random.default_rng(7), 100, n, levels, high=3, weight=2)
    found, tied = minimise(*batch), 0
    for unary, down, right, labels in zip(*batch, found, strict=True):
        everything, costs = every_cost(unary, down, right)
        best = everything[costs == costs.min()]
        tied += len(best) > 1
        np.testing.assert_array_equal(labels, best.min(0))
    assert tied > 20


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 2), st.integers(2, 5), st.floats(-9, 9), st.floats(-3, 1), st.booleans()
)
def test_real_costs_of_any_size_are_minimised_too(seed, n, levels, size, smooth, single):
    rng = np.random.default_rng(seed)
    unary, down, right = (
        rng.standard_exponential(x) * 10**size for x in ((2, n, n, levels), (2, n - 1, n), (2, n, n - 1))
    )
    unary, down, right = unary - 10**size, down * 10**smooth, right * 10**smooth
    if single:
        unary, down, right = (x.astype(np.float32) for x in (unary, down, right))
    for *grid, labels in zip(unary, down, right, minimise(unary, down, right), strict=True):
        least = every_cost(*grid)[1].min()
        assert cost(*grid, labels) <= least + 1e-6 * np.abs(unary).max()


def improve(unary, down, right, labels):
    """Iterated conditional modes: one block after the other takes its best label, until none changes."""
    n, levels = unary.shape[0], unary.shape[2]
    label = np.arange(levels)
    for _ in range(20):
        before = labels.copy()
        for y, x in itertools.product(range(n), range(n)):
            local = unary[y, x].copy()
            for dy, dx, w in ((-1, 0, down[y - 1, x] if y else 0), (0, -1, right[y, x - 1] if x else 0)):
                local += w * (label - labels[y + dy, x + dx]) ** 2
            if y < n - 1:
                local += down[y, x] * (label - labels[y + 1, x]) ** 2
            if x < n - 1:
                local += right[y, x] * (label - labels[y, x + 1]) ** 2
            labels[y, x] = local.argmin()
        if (labels == before).all():
            break
    return labels


@pytest.mark.parametrize(("n", "levels"), [(4, 3), (7, 5), (8, 3), (16, 2), (16, 4)])
def test_no_other_solver_goes_below(n, levels):
    rng = np.random.default_rng(n)
    unary, down, right = instances(rng, 6, n, levels, weight=400 // levels**2 + 1)
    least = labelling_energy(unary, down, right, minimise(unary, down, right))
    for level in range(levels):
        assert (least <= labelling_energy(unary, down, right, np.full((6, n, n), level))).all()
    for _ in range(50):
        assert (least <= labelling_energy(unary, down, right, rng.integers(0, levels, (6, n, n)))).all()
    for row in range(3):
        for start in (unary[row].argmin(2), np.zeros((n, n), int), rng.integers(0, levels, (n, n))):
            labels = improve(unary[row], down[row], right[row], start)
            assert least[row] <= cost(unary[row], down[row], right[row], labels)


@pytest.mark.parametrize("nodes", [1, 300, 2**16])
def test_a_batch_is_solved_as_its_images_are(monkeypatch, nodes):
    """Images of very different size of cost, however the batch is divided among graphs."""
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.integers(-6, 7, 20)
    unary, down, right = (rng.random((20, *x)) for x in ((6, 6, 3), (5, 6), (6, 5)))
    batch = [x * size.reshape(-1, *[1] * (x.ndim - 1)) for x in (unary, down / 8, right / 8)]
    monkeypatch.setattr(minimise_module, "NODES", nodes)
    together = minimise(*batch)
    alone = [minimise(*(x[i : i + 1] for x in batch))[0] for i in range(20)]
    np.testing.assert_array_equal(together, alone)


def test_turning_or_mirroring_the_grid_turns_or_mirrors_the_labels():
    rng = np.random.default_rng(1)
    unary, down, right = rng.random((5, 6, 6, 3)), rng.random((5, 5, 6)) / 4, rng.random((5, 6, 5)) / 4
    labels = minimise(unary, down, right)
    turned = minimise(unary.swapaxes(1, 2), right.swapaxes(1, 2), down.swapaxes(1, 2))
    np.testing.assert_array_equal(turned, labels.swapaxes(1, 2))
    mirrored = minimise(unary[:, ::-1], down[:, ::-1], right[:, ::-1])
    np.testing.assert_array_equal(mirrored, labels[:, ::-1])
    other_end = minimise(unary[..., ::-1], down, right)
    np.testing.assert_array_equal(other_end, 2 - labels)


def test_free_neighbours_choose_alone_and_tied_ones_together():
    rng = np.random.default_rng(2)
    unary, none = rng.random((4, 5, 5, 4)), np.zeros((4, 4, 5))
    np.testing.assert_array_equal(minimise(unary, none, none.swapaxes(1, 2)), unary.argmin(3))
    tied = minimise(unary, none + 1e4, none.swapaxes(1, 2) + 1e4)
    np.testing.assert_array_equal(tied, np.broadcast_to(unary.sum((1, 2)).argmin(1)[:, None, None], (4, 5, 5)))


@pytest.mark.parametrize("levels", [2, 3, 9])
def test_a_grid_of_one_block_takes_its_cheapest_label(levels):
    unary = np.random.default_rng(3).normal(size=(5, 1, 1, levels))
    np.testing.assert_array_equal(minimise(unary, np.zeros((5, 0, 1)), np.zeros((5, 1, 0))), unary.argmin(3))


def test_whole_numbers_stay_exact_next_to_the_limit():
    """A difference of 1 among costs of 10^8 decides."""
    unary = np.array([[[[10**8, 10**8 - 1]]], [[[10**8 - 1, 10**8]]]])
    assert minimise(unary, np.zeros((2, 0, 1)), np.zeros((2, 1, 0))).ravel().tolist() == [1, 0]


def test_tensors_in_tensors_out_and_nothing_is_written_to():
    batch = [torch.tensor(np.array([x]), dtype=torch.float32) for x in (THETA, DOWN, RIGHT)]
    before = [x.clone() for x in batch]
    labels = minimise(*batch)
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[[1, 1, 2], [1, 1, 1], [1, 1, 1]]]
    assert all(torch.equal(x, y) for x, y in zip(batch, before, strict=True))
    assert minimise(torch.zeros(0, 3, 3, 2), torch.zeros(0, 2, 3), torch.zeros(0, 3, 2)).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda u, d, r: (u, -d, r), "down must not be negative, got -2"),
        (lambda u, d, r: (u, d, r - 1.5), "right must not be negative"),
        (lambda u, d, r: (np.where(u == 6, np.nan, u), d, r), "unary must be finite, got nan"),
        (lambda u, d, r: (np.where(u == 6, np.inf, u), d, r), "unary must be finite, got inf"),
        (lambda u, d, r: (u, d * np.nan, r), "down must be finite, got nan"),
        (lambda u, d, r: (u * 1e307, d * 1e307, r), "too large"),
        (lambda u, d, r: (u[..., :1], d, r), "at least two labels"),
        (lambda u, d, r: (u[:, :2], d, r), "unary must be"),
        (lambda u, d, r: (u, r, d), "down must have the shape"),
    ],
)
def test_what_has_no_minimum_by_a_cut_is_refused(change, words):
    batch = [np.array([x], float) for x in (THETA, DOWN, RIGHT)]
    with pytest.raises(UserError, match=words):
        minimise(*change(*batch))


def test_a_flow_that_falls_short_is_noticed(monkeypatch):
    """Should SciPy ever return a flow that is not the maximum, nobody trains with what came of it."""

    def half(graph, source, sink):
        result = maximum_flow(graph, source, sink)
        result.flow.data //= 2
        return result

    monkeypatch.setattr(minimise_module, "maximum_flow", half)
    with pytest.raises(RuntimeError, match="please report"):
        minimise(*(np.array([x]) for x in (THETA, DOWN, RIGHT)))
