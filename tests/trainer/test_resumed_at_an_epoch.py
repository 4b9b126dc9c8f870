"""A checkpoint of the last step of an epoch, which is saved by steps while evaluations come by epoch."""

from __future__ import annotations

import shutil

import pytest
import torch
from test_trainer import trainer_of
from tiny import CONFIGS, build

STEPS = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "epoch"}


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_going_on_from_the_end_of_an_epoch_is_going_on(tmp_path, strategy):
    """Evaluations draw from the generator that dropout draws from: one that the checkpoint did not see would be missed."""
    options = {**STEPS, "eval_strategy": strategy, "eval_steps": 1}
    whole = trainer_of(tmp_path / "whole", model=build(CONFIGS["bert"]), rows=16, **options)
    whole.train()
    assert (tmp_path / "whole/checkpoint-2").is_dir()  # 16 rows in batches of 8: an epoch is two steps
    shutil.copytree(tmp_path / "whole/checkpoint-2", tmp_path / "again/checkpoint-2")
    again = trainer_of(tmp_path / "again", model=build(CONFIGS["bert"], seed=1), rows=16, **options)
    again.train(resume_from_checkpoint=str(tmp_path / "again/checkpoint-2"))

    def judged(trainer):
        return [(line["step"], line["eval_loss"]) for line in trainer.state.log_history if "eval_loss" in line]

    assert judged(again) == judged(whole)
    assert len(judged(whole)) == (3 if strategy == "epoch" else 6)  # none twice
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
