"""A checkpoint of the last step of an epoch, which is saved by steps while evaluations come by epoch."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch
from test_trainer import trainer_of
from tiny import CONFIGS, build
from transformers import EarlyStoppingCallback, TrainerCallback

from logitmix_hf.trainer.checkpoints import SaveOnSignal

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


class Told(TrainerCallback):
    """SIGTERM in the middle of one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (2, {**STEPS, "save_strategy": "epoch"}),
        (4, {**STEPS, "eval_strategy": "epoch", "save_steps": 5}),
        (3, {**STEPS, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 3}),  # inside an epoch
        (6, {**STEPS, "save_strategy": "epoch"}),  # nothing is left to train, and the last may be the best
        (6, {**STEPS, "eval_strategy": "steps", "eval_steps": 2}),
        (5, {**STEPS, "max_steps": 5, "save_strategy": "epoch"}),  # the last step, inside an epoch
        (5, {**STEPS, "max_steps": 5, "eval_strategy": "steps", "eval_steps": 4, "save_steps": 4}),
    ],
)
def test_told_to_stop_where_an_evaluation_is_due(tmp_path, step, options):
    """The checkpoint is written without a score; who goes on from it judges it first, and ends where nobody stopped."""
    options = {**options, "load_best_model_at_end": options.get("eval_strategy") == options["save_strategy"]}
    whole = trainer_of(tmp_path / "whole", model=build(CONFIGS["bert"]), rows=16, **options)
    whole.train()
    with SaveOnSignal() as saver:
        callbacks = [saver, Told(step)]
        trainer_of(tmp_path / "a", model=build(CONFIGS["bert"]), rows=16, callbacks=callbacks, **options).train()
    assert saver.received == signal.SIGTERM
    again = trainer_of(tmp_path / "a", model=build(CONFIGS["bert"], seed=1), rows=16, **options)
    again.train(resume_from_checkpoint=str(tmp_path / f"a/checkpoint-{step}"))

    def judged(trainer):
        return [(line["step"], line["eval_loss"]) for line in trainer.state.log_history if "eval_loss" in line]

    assert judged(again) == judged(whole)
    assert (again.state.best_global_step, again.state.best_metric) == (
        whole.state.best_global_step,
        whole.state.best_metric,
    )
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_told_to_stop_where_the_missed_evaluation_is_the_last(tmp_path, strategy):
    """The second evaluation is not better by the threshold, and no step follows it, whoever judges it."""
    options = {**STEPS, "eval_strategy": strategy, "save_strategy": strategy, "eval_steps": 3, "save_steps": 3}
    options |= {"load_best_model_at_end": True, "num_train_epochs": 4}
    step = 4 if strategy == "epoch" else 6

    def trained(name, *callbacks, seed=0, **how):
        stops = EarlyStoppingCallback(1, early_stopping_threshold=100.0)
        model = build(CONFIGS["bert"], seed=seed)
        trainer = trainer_of(tmp_path / name, model=model, rows=16, callbacks=[stops, *callbacks], **options)
        trainer.train(**how)
        return trainer

    whole = trained("whole")
    assert whole.state.global_step == step < 8
    with SaveOnSignal() as saver:
        trained("a", saver, Told(step))
    again = trained("a", seed=1, resume_from_checkpoint=str(tmp_path / f"a/checkpoint-{step}"))
    assert again.state.global_step == step
    assert (again.state.best_global_step, again.state.best_metric) == (
        whole.state.best_global_step,
        whole.state.best_metric,
    )
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
