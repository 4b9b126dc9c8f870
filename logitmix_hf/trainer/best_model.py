"""The best checkpoint, and where it lies."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, nearest
from logitmix_hf.trainer.epoch_end import JudgedBeforeSaved


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
        if step <= self._behind and self._origin is not None and not _same(self._origin, folder):
            folder = self._origin
        best = folder / f"checkpoint-{step}"
        if best.is_dir():
            # By the path that the output folder is given by: rotation compares names.
            self.state.best_model_checkpoint = str(best)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
