"""A split that was just evaluated is not judged once more, unless the weights are others by then."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_done_runs import digits
from tinyrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.evaluation import Predictions
from logitmix_hf.trainer import MixTrainer


@pytest.fixture
def loops(monkeypatch):
    """The rows of every pass over a split."""
    seen = []
    loop = MixTrainer.evaluation_loop

    def counted(self, dataloader, *args, **kwargs):
        seen.append(len(dataloader.dataset))
        return loop(self, dataloader, *args, **kwargs)

    monkeypatch.setattr(MixTrainer, "evaluation_loop", counted)
    return seen


def test_texts(tiny_model, files, tmp_path, loops):
    argv = flags(tiny_model, files, tmp_path / "out", num_train_epochs=2, bootstrap=0, test_file=files / "test.csv")
    assert glue(argv) == 0
    once = len(loops)
    assert once == 2 + 1  # two epochs, and the test file
    results = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert {"eval_loss", "eval_runtime", "eval_samples_per_second"} <= results.keys()
    loops.clear()
    again = flags(str(tmp_path / "out"), files, tmp_path / "asked", do_train="false", bootstrap=0)
    assert glue(again) == 0  # the saved weights, asked anew
    one, other = (Predictions.load(tmp_path / name / "predictions" / "validation.parquet") for name in ("out", "asked"))
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-6)
    theirs = json.loads((tmp_path / "asked" / "eval_results.json").read_text())
    assert results["eval_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.5},
        {"load_best_model_at_end": "true", "metric_for_best_model": "nll", "save_strategy": "epoch"},
        {"eval_strategy": "steps", "eval_steps": 3},  # seven steps: the last weights were not evaluated
    ],
)
def test_images_of_other_weights_are_judged(tmp_path, loops, changes):
    assert vision(digits(tmp_path / "out", num_train_epochs=1, method="vanilla", **changes)) == 0
    on_the_way = 2 if "eval_steps" in changes else 1
    assert loops.count(60) == on_the_way + 1
