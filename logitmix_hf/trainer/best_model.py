"""The best checkpoint, and where it lies: what is judged at a step is judged before its checkpoint is written, or as the first
thing by who goes on from it."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import IntervalStrategy

from logitmix_hf.errors import UserError, nearest


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


class BestModel(JudgedBeforeSaved):
    """A ``Trainer`` that keeps the best model, and finds it again, under every pairing of evaluating and saving.

    Stock looks for ``checkpoint-{best_global_step}`` only while it saves another, and by the path that a checkpoint had
    when it was written. So an evaluation that no saving follows is lost, and so is a folder that was moved.
    """

    _origin: Path | None = None  # where the checkpoint lies that training goes on from
    _behind: int = 0  # its step
    _written: frozenset[int] = frozenset()  # steps saved since

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        resume_from_checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        begin = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        if resume_from_checkpoint is not None and self.state.global_step >= max_steps:
            begin = num_train_epochs, 0  # stock trains one step more where max_steps ends inside an epoch
        self._origin = None if resume_from_checkpoint is None else Path(resume_from_checkpoint).parent
        self._behind, self._written = self.state.global_step, frozenset()
        self._point_at_best(trial)
        return begin

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        try:
            is_best = super()._determine_best_metric(metrics, trial)
        except KeyError:
            name = str(self.args.metric_for_best_model)
            known = sorted(key.removeprefix("eval_") for key in metrics)
            raise UserError(
                f"metric_for_best_model={name!r} is no score of the evaluation.{nearest(name, known)} Known:"
                f" {', '.join(known)}."
            ) from None
        if is_best and self.args.load_best_model_at_end and self.state.global_step not in self._written:
            self.control.should_save = True  # it may lie between two checkpoints
        self._point_at_best(trial)
        return is_best

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._written |= {self.state.global_step}
        super()._save_checkpoint(model, trial)

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> Any:
        self._point_at_best(trial)
        best = self.state.best_metric
        if self.args.load_best_model_at_end and best is not None and not math.isfinite(best):
            warnings.warn(
                f"eval_{str(self.args.metric_for_best_model).removeprefix('eval_')} was never a number, so that no"
                " checkpoint is the best one: the model stays the last.",
                stacklevel=2,
            )
        return super()._finalize_training(trial, num_train_samples, start_time)

    def _point_at_best(self, trial: Any) -> None:
        """Let the state name the best checkpoint where it lies now; folders that other runs left are not looked at."""
        step, folder = self.state.best_global_step, Path(self._get_output_dir(trial))
        if not step or (step > self._behind and step not in self._written):
            return
        if step <= self._behind and self._origin is not None and self._origin.resolve() != folder.resolve():
            folder = self._origin
        best = folder / f"checkpoint-{step}"
        if best.is_dir():
            # By the path that the output folder is given by: rotation compares names.
            self.state.best_model_checkpoint = str(best)
