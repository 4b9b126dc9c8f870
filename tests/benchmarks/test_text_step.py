"""The benchmark runs, measures what it says, and its check can fail; no test looks at a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import text_step, timing  # noqa: E402


def test_every_row_is_there(tmp_path, capsys):
    out = tmp_path / "numbers.json"
    assert text_step.main(["--model", "tiny", "--steps", "1", "--rounds", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    assert "tiny" in found["model"]
    rows = {(row["one"], row["other"]): row for row in found["rows"]}
    sites = ["embeddings", "layer.1", "layer.2", "cls", "pooled"]
    assert set(rows) == {
        ("vanilla", "stock"),
        *((site, "vanilla") for site in sites),
        ("three passes", "vanilla"),
        ("embeddings", "three passes"),
        *((f"mixup {site}", "vanilla") for site in sites),
    }
    # The share of layers that mixed rows run: all, half, none; nothing was added to the bar but the tenth.
    bars = [rows[site, "vanilla"]["bar"] for site in sites]
    assert bars == pytest.approx([2.2, 1.65, 1.1, 1.1, 1.1])
    assert rows["vanilla", "stock"]["bar"] == 1.03
    assert rows["embeddings", "three passes"]["bar"] == 0.75
    # Mixed rows in place of clean ones: a plain step, wherever they are mixed.
    assert {rows[f"mixup {site}", "vanilla"]["bar"] for site in sites} == {1.1}
    assert all(row["ratio"] > 0 and row["milliseconds"] > 0 for row in rows.values())
    # Peaks are counts of bytes, the same on a busy machine: the order of the sites is that of the work they save.
    held = [rows[site, "vanilla"]["mebibytes"] for site in sites]
    assert held[0] > held[1] > held[2] >= held[4] >= 0.99 * rows["vanilla", "stock"]["mebibytes"]
    assert rows["three passes", "vanilla"]["mebibytes"] > held[0]
    assert all(one in printed and other in printed for one, other in rows)


def test_the_check_names_the_bar_that_was_missed(monkeypatch, capsys):
    def row(one, other, bar, ratio):
        return timing.Row(one, other, bar, ratio, (ratio, ratio), 1.0, 1.0, 1.0)

    monkeypatch.setattr(text_step, "model_folder", lambda name, folder: (folder, "none"))
    monkeypatch.setattr(text_step, "build_steps", lambda folder, output, only: ({}, 6))
    for ratio, expected in ((1.03, 0), (1.031, 1)):
        rows = [row("vanilla", "stock", 1.03, ratio), row("three passes", "vanilla", None, 9.0)]
        monkeypatch.setattr(text_step, "measure", lambda *_, rows=rows: rows)
        assert text_step.main(["--check"]) == expected
        assert ("vanilla took 1.031 of stock, the bar is 1.030" in capsys.readouterr().err) == bool(expected)
        assert text_step.main([]) == 0


def test_peak_memory_is_what_a_step_holds_at_once():
    """Two MiB and then, with one of them gone, three more: four at the peak; what is kept from the step before counts
    in neither."""
    kept = []

    def step():
        first, second = torch.ones(2**18), torch.ones(2**18)
        del first
        third = torch.ones(3 * 2**18)
        del second, third
        kept.append(None)

    if torch.cuda.is_available():
        pytest.skip("tensors of the CPU do not show in CUDA's allocator")
    assert timing.peak_memory(step) == 4 * 2**20
    assert len(kept) == 2


def test_a_pair_is_compared_within_its_own_turn(monkeypatch):
    """A machine that slows down tenfold midway changes neither ratio nor who begins how often."""
    clock, order = [0.0], []

    def work(name, seconds):
        def step():
            order.append(name)
            clock[0] += seconds * (10 if len(order) > 10 else 1)

        return step

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing, "peak_memory", lambda step: 100)
    steps = {"fast": work("fast", 1.0), "slow": work("slow", 1.5)}
    (row,) = timing.measure(steps, [timing.Pair("slow", "fast", 1.4)], rounds=10, times=1)
    assert row.ratio == pytest.approx(1.5)
    assert row.quartiles == pytest.approx((1.5, 1.5))
    assert row.missed
    assert order[:4] == ["slow", "fast", "fast", "slow"]
