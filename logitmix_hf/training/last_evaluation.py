"""The last evaluation of a training, whose rows need not be judged once more by the same weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from logitmix_hf.trainer import MixTrainer


class LastEvaluation:
    """Keeps what ``compute_metrics`` was given, of one evaluation at a time.

    Args:
        split: the name of the split that is evaluated while training; "" for none.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self._output: Any = None
        self._step = -1

    def keep(self, trainer: MixTrainer, output: Any) -> None:
        """Called with every evaluation, by every process."""
        if trainer.is_in_train:
            self._output, self._step = output, trainer.state.global_step

    def again(self, trainer: MixTrainer, split: str, prefix: str) -> Any:
        """What ``Trainer.predict`` of that split would give; None where it has to be asked, since another split is meant, or
        the weights are no longer those that were evaluated (the best ones, or an average)."""
        changed = trainer.args.load_best_model_at_end or getattr(trainer, "average", None) is not None
        output, self._output = self._output, None
        if output is None or changed or split != self.split or self._step != trainer.state.global_step:
            return None
        logged = next((line for line in reversed(trainer.state.log_history) if "eval_loss" in line), None)
        if logged is None or logged.get("step") != self._step:
            return None
        metrics = {f"{prefix}_{key.removeprefix('eval_')}": v for key, v in logged.items() if key.startswith("eval_")}
        return SimpleNamespace(predictions=output.predictions, label_ids=output.label_ids, metrics=metrics)
