"""The loss that a step weighs: made for the problem that the model's configuration names."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.class_weights import BALANCED, weights_in_order
from logitmix_hf.errors import UserError
from logitmix_hf.losses import LogitMixLoss, LossOutput
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.targets import REGRESSION, settle_problem


class TaskLoss:
    """One :class:`LogitMixLoss` for each set of weights that a training takes, made when it is first asked for.

    Args:
        mix: what the loss is made of.
        label_smoothing: of the targets; it and ``mix.confidence_penalty`` are means of training: leave it at 0 and
            call :meth:`plain` for what an evaluation reports.
    """

    def __init__(self, mix: MixArguments, label_smoothing: float = 0.0) -> None:
        self.mix, self.label_smoothing = mix, label_smoothing
        self._made: dict[tuple[float, ...], LogitMixLoss] = {}

    def plain(self, model: nn.Module, logits: Tensor, labels: Tensor) -> LossOutput:
        """The task loss of clean rows, without smoothing or penalty."""
        loss = self.of({"mix": 0.0, "cls": 1.0, "sim": 0.0}, model, logits, labels)
        loss.label_smoothing = loss.confidence_penalty = 0.0
        return loss(logits, None, labels, None)

    def of(self, weights: dict[str, float], model: nn.Module, logits: Tensor, labels: Tensor) -> LogitMixLoss:
        """The loss with these weights of its terms; what the model does not say is told from the labels.

        Raises:
            UserError: for class weights that do not fit the outputs.
        """
        key = tuple(weights.values())
        if key not in self._made:
            self._made[key] = self._new(weights, unwrap(model), logits, labels)
        loss = self._made[key]
        loss.label_smoothing, loss.confidence_penalty = self.label_smoothing, self.mix.confidence_penalty
        return loss

    def _new(self, weights: dict[str, float], model: nn.Module, logits: Tensor, labels: Tensor) -> LogitMixLoss:
        mix = self.mix
        problem = settle_problem(getattr(model, "config", None), logits, labels)
        classes = self._class_weights(model, problem, logits.shape[1])
        if weights["sim"] and mix.mixer != "spans" and mix.site == "pooled":
            warnings.warn(
                "site 'pooled' lies right before a linear layer, where mixed logits are the mixture of logits already:"
                " L_sim is zero there but for dropout. Mix earlier (for example --site middle) to give it work.",
                stacklevel=3,
            )
        return LogitMixLoss(
            **{f"w_{name}": weight for name, weight in weights.items()},  # type: ignore[arg-type]
            sim_form=mix.sim_form,
            sim_detach=mix.sim_detach,
            sim_on=mix.sim_on,
            cls_sum=mix.cls_sum,
            problem_type=problem,
            class_weights=classes,
        ).to(logits.device)

    def _class_weights(self, model: nn.Module, problem: str, outputs: int) -> list[float] | None:
        asked: Any = self.mix.class_weights
        if asked is None:
            return None
        if asked == BALANCED:
            raise UserError(
                f"class_weights {BALANCED!r} counts training rows, which a loss does not see: give a number for each class,"
                " as sklearn.utils.class_weight.compute_class_weight finds it. (MixTrainer counts a train_dataset whose rows"
                " it can look at, and the commands count theirs.)"
            )
        if isinstance(asked, dict):
            names = getattr(getattr(model, "config", None), "id2label", None) or {}
            asked = weights_in_order(asked, [names.get(number, str(number)) for number in range(outputs)], None)
        if problem == REGRESSION or len(asked) != outputs:
            raise UserError(f"class_weights has {len(asked)} values for {outputs} outputs ({problem}).")
        return asked
