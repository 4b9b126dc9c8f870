"""The exact minimum of a labelling energy on a grid, by maximum flow.

E(l) = sum_i unary_i(l_i) + sum_ij w_ij (l_i - l_j)^2 over blocks i and grid neighbours ij, labels l in {0, ..., L-1}, w >= 0.

Ishikawa's construction (IEEE TPAMI 2003): a block has L - 1 nodes x_k = [l >= k], the source side meaning true. Since
(l - m)^2 = sum_ks |x_k - y_s| + [l^2 - (L-1) l] + [m^2 - (L-1) m], every pair of nodes of two neighbours is joined both
ways with capacity w, and what remains in brackets goes to the unary term. A minimum cut is a minimum of E.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from logitmix_hf.errors import UserError

Integers = NDArray[np.int64]

# SciPy keeps capacities and residuals, which reach twice a capacity, in int32 and does not check either.
CAPACITY = 2**30
# So many nodes a graph: larger ones leave the cache (and above 2^16 crash SciPy before 1.8), smaller ones cost more calls.
NODES = 2**12


class FlowNetwork(NamedTuple):
    """A flow network of several grids that share source and sink.

    Attributes:
        capacities: (N, N) int32, sorted, every edge stored both ways; the last two nodes are source and sink. Node
            ``(b * cells + i) * (L - 1) + k - 1`` says whether cell i of grid b has a label of at least k.
        constant: sum of the least energies is the maximum flow plus this.
    """

    capacities: csr_array
    constant: int


@overload
def minimise(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> Integers: ...
@overload
def minimise(unary: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor: ...
def minimise(
    unary: np.ndarray | torch.Tensor, down: np.ndarray | torch.Tensor, right: np.ndarray | torch.Tensor
) -> Integers | torch.Tensor:
    """The labelling of least energy of each grid of a batch, exactly.

    Args:
        unary: (B, n, n, L), cost of label l in a block; L at least 2. Any sign.
        down: (B, n-1, n) >= 0, w between a block and the one below it.
        right: (B, n, n-1) >= 0, w between a block and the one to its right.

    Returns:
        (B, n, n) int64 labels, an array for arrays and a tensor for tensors. Of several minima, the one whose labels
        are all smallest (there is always such a one).

    Costs become integers, each grid on its own scale, a power of two: whole numbers stay exact as long as the costs
    around a block stay below 2^29, and others are exact to about 1e-9 of the costliest block.

    Raises:
        UserError: for shapes that do not fit, negative weights, or costs that are not finite.
    """
    theta, below, beside = (_array(x) for x in (unary, down, right))
    _check(theta, below, beside)
    integers = _integers(theta, below, beside)
    rows, n, _, levels = theta.shape
    labels = np.empty((rows, n, n), np.int64)
    size = max(1, NODES // (n * n * (levels - 1)))
    for first in range(0, rows, size):
        chunk = slice(first, first + size)
        labels[chunk] = _solve(*(x[chunk] for x in integers))
    return torch.from_numpy(labels).to(unary.device) if isinstance(unary, torch.Tensor) else labels


def labelling_energy(unary: np.ndarray, down: np.ndarray, right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """E of each labelling: (B, n, n, L), (B, n-1, n), (B, n, n-1), (B, n, n) int -> (B,), in the costs' own dtype."""
    at = np.take_along_axis(unary, labels[..., None], 3)[..., 0]
    vertical = down * np.diff(labels, axis=1) ** 2
    horizontal = right * np.diff(labels, axis=2) ** 2
    return at.sum((1, 2)) + vertical.sum((1, 2)) + horizontal.sum((1, 2))


def _array(x: np.ndarray | torch.Tensor) -> NDArray[np.float64]:
    return x.detach().cpu().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, np.float64)


def _check(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> None:
    if unary.ndim != 4 or unary.shape[1] != unary.shape[2] or unary.shape[1] < 1 or unary.shape[3] < 2:
        raise UserError(f"unary must be (B, n, n, L) with at least two labels, got {unary.shape}.")
    rows, n = unary.shape[:2]
    for name, weights, shape in (("down", down, (rows, n - 1, n)), ("right", right, (rows, n, n - 1))):
        if weights.shape != shape:
            raise UserError(f"{name} must have the shape {shape} for unary {unary.shape}, got {weights.shape}.")
        if weights.size and weights.min() < 0:
            raise UserError(f"{name} must not be negative, got {weights.min():g}: only then is the cut the minimum.")
    for name, costs in (("unary", unary), ("down", down), ("right", right)):
        if not np.isfinite(costs).all():
            raise UserError(f"{name} must be finite, got {costs[~np.isfinite(costs)][0]}.")


def _around(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(B, n, n): the sum of the weights that meet in each block."""
    total = np.zeros((len(down), right.shape[1], down.shape[2]), down.dtype)
    total[:, :-1] += down
    total[:, 1:] += down
    total[:, :, :-1] += right
    total[:, :, 1:] += right
    return total


def _integers(unary: np.ndarray, down: np.ndarray, right: np.ndarray) -> tuple[Integers, Integers, Integers]:
    """The same energies in whole numbers, up to a factor for each grid and a constant for each block."""
    levels = unary.shape[3]
    with np.errstate(over="ignore", invalid="ignore"):
        unary = unary - unary[..., :1]
        # What a ladder must outweigh is at most this, see network.
        cost = np.abs(np.diff(unary)).sum(3) + 2 * (levels - 1) ** 2 * _around(down, right)
    most = cost.max((1, 2), initial=0)
    if not np.isfinite(most).all():
        raise UserError("the costs are too large to be added up: scale them down.")
    exponent = np.where(most > 0, 29 - np.frexp(most)[1], 0)[:, None, None]
    return _integer_costs(unary, exponent[..., None]), _integer_costs(down, exponent), _integer_costs(right, exponent)


def _integer_costs(costs: np.ndarray, exponent: np.ndarray) -> Integers:
    return np.rint(np.ldexp(costs, exponent)).astype(np.int64)


class _Pattern(NamedTuple):
    """Who is joined with whom within one grid, as the rows of a CSR matrix with one free place at the end of each.

    Attributes:
        indices: (E,) int32 node at the other end; 0 in the free place, which is for the terminal.
        edge: (E,) int64 where the capacity is found in [down, right, ladder, 0]; the last in the free place.
        length: (nodes,) int64 entries of each row, the free place included.
    """

    indices: NDArray[np.int32]
    edge: Integers
    length: Integers


@lru_cache(maxsize=32)
def _pattern(n: int, levels: int) -> _Pattern:
    cells, rungs = n * n, levels - 1
    cell = np.arange(cells).reshape(n, n)
    first = np.concatenate([cell[:-1].ravel(), cell[:, :-1].ravel()])
    second = np.concatenate([cell[1:].ravel(), cell[:, 1:].ravel()])
    pairs = len(first)
    k, m = (x.ravel() for x in np.meshgrid(np.arange(rungs), np.arange(rungs)))
    head = (first[:, None] * rungs + k).ravel()
    tail = (second[:, None] * rungs + m).ravel()
    weight = np.repeat(np.arange(pairs), rungs * rungs)
    lower = (np.arange(cells)[:, None] * rungs + np.arange(rungs - 1)).ravel()
    ladder = pairs + np.repeat(np.arange(cells), rungs - 1)
    zero, node = pairs + cells, np.arange(cells * rungs)
    # x_{k+1} true and x_k false is no label: forbidden by a capacity from the upper to the lower.
    start = np.concatenate([head, tail, lower + 1, lower, node])
    end = np.concatenate([tail, head, lower, lower + 1, np.full_like(node, cells * rungs)])
    edge = np.concatenate([weight, weight, ladder, np.full_like(ladder, zero), np.full_like(node, zero)])
    order = np.lexsort((end, start))
    return _Pattern(end[order].astype(np.int32), edge[order], np.bincount(start, minlength=cells * rungs))


def network(unary: Integers, down: Integers, right: Integers) -> FlowNetwork:
    """The flow network of integer energies."""
    rows, n, _, levels = unary.shape
    pattern = _pattern(n, levels)
    around = _around(down, right)
    label = np.arange(levels)
    unary = unary + around[..., None] * (label * label - (levels - 1) * label)
    delta = np.diff(unary)  # > 0: this cost is paid where x_k is true, < 0: saved
    # A ladder outweighs all that can be gained by breaking it: everything else that its block's nodes take part in.
    ladder = np.abs(delta).sum(3) + (levels - 1) ** 2 * around + 1
    if max(ladder.max(initial=0), down.max(initial=0), right.max(initial=0)) >= CAPACITY:
        raise OverflowError("capacities outgrow int32")
    zero = np.zeros((rows, 1), np.int64)
    weights = np.concatenate([x.reshape(rows, -1) for x in (down, right, ladder, zero)], 1)
    delta = delta.reshape(-1)
    nodes, per_grid = len(delta), len(pattern.length)
    source, sink = nodes, nodes + 1

    data = weights[:, pattern.edge].reshape(-1)
    indices = (pattern.indices + np.arange(0, nodes, per_grid, dtype=np.int32)[:, None]).reshape(-1)
    length = np.concatenate([np.tile(pattern.length, rows), [0, 0]])
    saved = delta < 0
    free = np.cumsum(length[:nodes]) - 1
    indices[free] = np.where(saved, source, sink)
    data[free] = np.where(saved, 0, delta)
    from_source, from_sink = np.flatnonzero(saved), np.flatnonzero(~saved)
    length[source], length[sink] = len(from_source), len(from_sink)
    data = np.concatenate([data, -delta[from_source], np.zeros(len(from_sink), np.int64)])
    indices = np.concatenate([indices, from_source.astype(np.int32), from_sink.astype(np.int32)])
    indptr = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    graph = csr_array((data.astype(np.int32), indices, indptr), shape=(nodes + 2, nodes + 2))
    return FlowNetwork(graph, int(unary[..., 0].sum() + delta[saved].sum()))


def _solve(unary: Integers, down: Integers, right: Integers) -> Integers:
    """(B, n, n) labels of least energy of integer energies."""
    rows, n, _, levels = unary.shape
    graph, constant = network(unary, down, right)
    nodes = rows * n * n * (levels - 1)
    flow = maximum_flow(graph, nodes, nodes + 1).flow
    # Every edge is stored both ways, so the flow has the capacities' own pattern.
    open_edges = graph.data != flow.data
    indptr = np.concatenate([[0], np.cumsum(open_edges)])[graph.indptr].astype(np.int32)
    residual = csr_array((np.ones(indptr[-1]), graph.indices[open_edges], indptr), shape=graph.shape)
    reached = np.zeros(nodes + 2, bool)
    reached[breadth_first_order(residual, nodes, return_predecessors=False)] = True
    labels = reached[:nodes].reshape(rows, n, n, levels - 1).sum(3)
    # Cut and flow prove each other: no labelling costs less than the flow.
    bound = int(flow.data[graph.indptr[nodes] : graph.indptr[nodes + 1]].sum(dtype=np.int64)) + constant
    if int(labelling_energy(unary, down, right, labels).sum()) != bound:
        raise RuntimeError("the cut does not cost what flows: please report this, with the version of SciPy")
    return labels
