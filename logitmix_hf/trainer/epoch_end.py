"""The end of an epoch: what is judged there is judged before a checkpoint of the same step is written."""

from __future__ import annotations

from typing import Any

from transformers import Trainer
from transformers.trainer_utils import IntervalStrategy


class JudgedBeforeSaved(Trainer):
    """Where evaluations come by epoch and checkpoints by steps, stock ``Trainer`` saves the last step of an epoch first and
    judges it then. An evaluation draws from the generator that dropout draws from: a training that goes on from such a
    checkpoint would miss that draw, and the evaluation, and end with other weights.
    """

    _judged_step = -1  # the step whose evaluation was not left to the end of its epoch

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> Any:
        step, asked, control = self.state.global_step, self.args, self.control
        if self._judged_step == step:
            control.should_evaluate = False
        elif control.should_save and not control.should_training_stop and asked.eval_strategy == IntervalStrategy.EPOCH:
            ends = abs(self.state.epoch - round(self.state.epoch)) < 1e-9  # (step + 1) / steps of the epoch
            if ends and asked.eval_delay <= self.state.epoch:
                control.should_evaluate, self._judged_step = True, step
        return super()._maybe_log_save_evaluate(*args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``."""
        self._judged_step = -1
        return super().train(*args, **kwargs)
