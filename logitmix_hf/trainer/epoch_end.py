"""What is judged at a step is judged before its checkpoint is written, or as the first thing by who goes on from it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import IntervalStrategy


class _NoStepMore(Exception):
    """The evaluation that was made up for was the last."""


class JudgedBeforeSaved(Trainer):
    """Where evaluations come by epoch and checkpoints by steps, stock ``Trainer`` saves the last step of an epoch first and
    judges it then. An evaluation draws from the generator that dropout draws from: a training that goes on from such a
    checkpoint would miss that draw, and the evaluation, and end with other weights.

    Who is told to stop saves without a score, since nobody may have the time for one; the training that goes on from there
    judges that step first.
    """

    _judged_step = -1  # the step whose evaluation was not left to the end of its epoch
    _missed = False  # whether training goes on from a step that should have been judged

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        begin = super()._init_training_state(*args, **kwargs)
        step = self.state.global_step
        judged = any(
            line.get("step") == step and any(key.startswith("eval_") for key in line) for line in self.state.log_history
        )
        self._missed = step > 0 and not judged and self._is_judged_here()
        return begin

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        self._judge_what_was_missed()  # the draws of that evaluation come before those of the next step
        if self.control.should_training_stop:
            raise _NoStepMore

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        with suppress(_NoStepMore):
            super()._run_epoch(*args, **kwargs)

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> Any:
        self._judge_what_was_missed()  # where no step was left to go on with
        return super()._finalize_training(trial, num_train_samples, start_time)

    def _judge_what_was_missed(self) -> None:
        if self._missed:
            self._missed = False
            metrics = self._evaluate(None, None)
            self._determine_best_metric(metrics=metrics, trial=None)

    def _is_judged_here(self) -> bool:
        """Whether a training that nobody stopped judges the step that it has reached."""
        asked, state = self.args, self.state
        last = state.global_step >= state.max_steps
        if asked.eval_strategy == IntervalStrategy.EPOCH:
            ends = abs(state.epoch - round(state.epoch)) < 1e-9  # (step + 1) / steps of the epoch
            return (ends or last) and asked.eval_delay <= state.epoch
        if asked.eval_strategy == IntervalStrategy.STEPS:
            return (last or state.global_step % state.eval_steps == 0) and asked.eval_delay <= state.global_step
        return False

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> Any:
        step, control = self.state.global_step, self.control
        if self._judged_step == step:
            control.should_evaluate = False
        elif control.should_save and not control.should_training_stop and self._is_judged_here():
            control.should_evaluate, self._judged_step = True, step
        return super()._maybe_log_save_evaluate(*args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``."""
        self._judged_step = -1
        return super().train(*args, **kwargs)
