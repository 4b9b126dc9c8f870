"""MixedForward of a compiled model over batches of many shapes: how many graphs, counted by torch, and the same logits."""

from __future__ import annotations

import pytest
import torch
from tiny import CONFIGS, LLAMA, batch_of, build
from torch._dynamo.utils import counters

from logitmix_hf import MixedForward, draw_plan
from logitmix_hf.models.compiled import is_compiled

pytestmark = pytest.mark.slow  # the compiler takes seconds a graph

ROWS, LENGTHS = (8, 4, 6), (5, 7, 12, 9, 16, 6, 20, 11)
EVERY = [(rows, length) for length in LENGTHS for rows in ROWS]
CASES = {
    "bert at a layer": ("bert", "layer.1", True),
    "bert, mixed rows alone": ("bert", "layer.1", False),
    "albert, whose layers are shared": ("albert", "layer.2", True),
    "modernbert at its end": ("modernbert-mean", "cls", True),
    "a decoder": ("llama", "pooled", True),
}


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def _model(family):
    return build(LLAMA if family == "llama" else CONFIGS[family]).eval()


@pytest.mark.parametrize("case", CASES)
def test_eight_lengths_and_three_batch_sizes_need_two_graphs(case):
    family, site, clean = CASES[case]
    model = _model(family)
    compiled, forward = torch.compile(model, backend="eager"), MixedForward(model, site)
    generator = torch.Generator().manual_seed(0)
    for rows, length in EVERY:
        batch, plan = batch_of(rows, length), draw_plan(rows, 3.0, generator)
        found = forward.run(batch, plan, model=compiled, clean=clean)
        assert not counters["graph_break"]
        graphs = counters["stats"]["unique_graphs"]
        for one, other in zip(found, forward.run(batch, plan, clean=clean), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert 1 <= graphs <= 2


def test_one_shape_is_one_graph_of_fixed_sizes():
    model = _model("bert")
    compiled, forward = torch.compile(model, backend="eager"), MixedForward(model, "layer.1")
    batch = batch_of(4, 9)
    for seed in range(4):
        forward(batch, draw_plan(4, 3.0, torch.Generator().manual_seed(seed)), model=compiled)
    assert counters["stats"]["unique_graphs"] == 1
    assert not any(hasattr(value, "_dynamo_weak_dynamic_indices") for value in batch.values())


def test_a_layer_drawn_each_step_stays_compiled_at_every_depth():
    """A graph a depth: torch gives up at eight of its own accord, and an encoder has twelve layers and more."""
    model = build(CONFIGS["bert"], num_hidden_layers=2).eval()
    compiled, forward = torch.compile(model, backend="eager"), MixedForward(model, "layers")
    generator = torch.Generator().manual_seed(0)
    with torch._dynamo.config.patch(recompile_limit=1):
        for _ in range(12):
            forward(batch_of(4, 9), draw_plan(4, 3.0, generator), generator, compiled)
    assert counters["stats"]["unique_graphs"] == len(forward.site.depths)


def test_a_compiled_model_is_known_by_its_wrapper_or_its_own_call():
    model = torch.nn.Linear(2, 2)
    assert not is_compiled(model)
    assert is_compiled(torch.compile(model, backend="eager"))
    model.compile(backend="eager")
    assert is_compiled(model)
