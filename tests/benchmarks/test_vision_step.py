"""The benchmark of images measures what it says, and its check can fail; no test looks at a time."""

from __future__ import annotations

import json
import sys
from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import member_steps, timing, vision_step, vision_steps

cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="counts tensors of the CPU")


@cpu_only
def test_every_row_is_there_with_its_bar(tmp_path, capsys):
    out = tmp_path / "numbers.json"
    flags = ["--model", "digits", "--batch", "4", "--steps", "1", "--rounds", "1", "--json", str(out)]
    assert vision_step.main(flags) == 0
    found = json.loads(out.read_text())
    assert (found["model"], found["batch"]) == ("digits", 4)
    rows = {(row["one"], row["other"]): row for row in found["rows"]}
    alone = ["mixup", "cutmix", "puzzlemix", "logitmix, separate", "logitmix, stage.2", "vwci, 5 passes"]
    bars = {"logitmix": 2.1, "logitmix, cutmix": 2.1, "logitmix, puzzlemix": 3.3, **dict.fromkeys(alone)}
    bars |= {"cut_mixmo, 2 members": 1.05, "cut_mixmo, 4 members": 1.1}
    assert {one: rows[one, "vanilla"]["bar"] for one in bars} == bars
    assert set(rows) == {
        *((one, "vanilla") for one in bars),
        *((one, "bare loop") for one in ("vanilla", vision_steps.TRAINING)),
        *((pair.one, pair.other) for pair in member_steps.PAIRS),
    }
    assert rows[vision_steps.TRAINING, "bare loop"]["bar"] is None  # on a GPU alone
    assert all(row["ratio"] > 0 and row["milliseconds"] > 0 for row in rows.values())
    # Peaks are counts of bytes, the same on a busy machine. A trainer holds what a bare loop does.
    assert rows["vanilla", "bare loop"]["memory_ratio"] == pytest.approx(1, abs=0.05)
    held = {one: row["memory_ratio"] for (one, other), row in rows.items() if other == "vanilla"}
    assert held["mixup"] < held["logitmix, stage.2"] < held["logitmix"] < 2.05 < held["vwci, 5 passes"]
    told = capsys.readouterr().out
    assert all(f"| {one} | {other} |" in told for one, other in rows)


def test_the_check_names_the_bar_that_was_missed(monkeypatch, capsys):
    for ratio, expected in ((2.1, 0), (2.101, 1)):
        rows = [
            timing.Row("logitmix", "vanilla", 2.1, ratio, (ratio, ratio), 1.0, 1.0, 1.0),
            timing.Row("vwci, 5 passes", "vanilla", None, 9.0, (9.0, 9.0), 1.0, 1.0, 1.0),
        ]
        monkeypatch.setattr(vision_step, "run", lambda *_, rows=rows: rows)
        assert vision_step.main(["--check"]) == expected
        assert ("logitmix took 2.101 of vanilla, the bar is 2.100" in capsys.readouterr().err) == bool(expected)
        assert vision_step.main([]) == 0


def test_an_unknown_network_ends_in_a_line(capsys):
    with pytest.raises(SystemExit) as caught:
        vision_step.main(["--model", "resnet19"])
    assert caught.value.code == 2
    assert "resnet18" in capsys.readouterr().err


def test_trainer_and_bare_loop_do_the_same_work(tmp_path):
    """From the same weights on the same batches, three steps of either leave the same weights."""
    arguments = vision_steps.settings(tmp_path, 4, 3)
    arguments.learning_rate, arguments.lr_scheduler_type = 0.05, "constant"
    device = arguments.device
    ready = vision_steps.batches(4, device)
    bare = vision_steps.BareStep(vision_steps.network("digits", device), cycle(ready), arguments)
    for _ in range(3):
        bare()
    network = vision_steps.network("digits", device)
    start = [value.clone() for value in network.parameters()]
    trainer = vision_steps.trainer_of(network, vision_steps.METHODS["vanilla"], ready, arguments)
    trainer.train()
    moved = [(one - other).norm() for one, other in zip(network.parameters(), start, strict=True)]
    assert min(moved) > 0
    for one, other in zip(network.parameters(), bare.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_training_is_compared_with_the_loop_in_its_own_turns(monkeypatch, tmp_path):
    """The trainer's step takes 3 s, the loop's 2; whoever slows down midway slows the other down too."""
    clock = [0.0]

    def slow() -> float:
        return 10.0 if clock[0] > 40 else 1.0

    class Loop:
        def __init__(self, *_):
            pass

        def __call__(self):
            clock[0] += 2 * slow()

    class Trainer:
        def add_callback(self, callback):
            self.callback = callback

        def train(self):
            for step in range(1, 13):
                clock[0] += 3 * slow()
                state = type("State", (), {"global_step": step})
                self.callback.on_step_end(None, state, None)

    monkeypatch.setitem(timing.CLOCKS, "wall", lambda: clock[0])
    monkeypatch.setattr(vision_steps, "BareStep", Loop)
    monkeypatch.setattr(vision_steps, "trainer_of", lambda *_: Trainer())
    like = timing.Row("vanilla", "bare loop", None, 9.0, (9.0, 9.0), 9.0, 7.0, 1.5)
    row = vision_steps.measure_training(like, 1.15, "digits", 4, 3, 3, "wall", tmp_path)
    assert row.ratio == pytest.approx(1.5)
    assert (row.one, row.other, row.bar, row.missed) == (vision_steps.TRAINING, "bare loop", 1.15, True)
    assert (row.mebibytes, row.memory_ratio) == (7.0, 1.5)


def test_batches_are_photographs_as_a_collator_makes_them():
    first, second, *_ = vision_steps.batches(4, torch.device("cpu"))
    images = first["pixel_values"]
    assert images.shape == (4, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(images, second["pixel_values"])
    # A photograph's neighbouring pixels are alike, those of noise are not: PuzzleMix's cut takes longer on it.
    assert F.l1_loss(images[..., 1:], images[..., :-1]) < 0.5 * images.std()
