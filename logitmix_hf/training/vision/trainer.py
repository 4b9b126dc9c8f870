"""``MixTrainer`` with what image networks are trained by: steps of the learning rate, decay of every weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.trainer_pt_utils import get_parameter_names

from logitmix_hf.trainer import MixTrainer
from logitmix_hf.vision.data.repetition import RepeatedSampler

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.LocalResponseNorm, nn.RMSNorm)


class ImageTrainer(MixTrainer):
    """A :class:`MixTrainer` for image networks.

    Args:
        decay_norm_and_bias: weight decay for all, as the papers' codes do, or for weights of more than one dimension
            alone, whatever a norm is called.
        lr_milestones, lr_gamma: the learning rate is multiplied by the second at these shares of training, in place of
            ``lr_scheduler_type``; ``warmup_steps`` stays in force.
        batch_repetition: how often each row is in an epoch, all of its copies in one batch; an epoch is as many times as
            long.
    """

    def __init__(
        self,
        *args: Any,
        decay_norm_and_bias: bool = True,
        lr_milestones: list[float] | None = None,
        lr_gamma: float = 0.2,
        batch_repetition: int = 1,
        **kwargs: Any,
    ) -> None:
        self.batch_repetition = batch_repetition
        self.decay_norm_and_bias = decay_norm_and_bias
        self.lr_milestones, self.lr_gamma = list(lr_milestones or []), lr_gamma
        super().__init__(*args, **kwargs)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """As ``Trainer``, which knows norms by their names and would miss a BatchNorm called ``bn1``."""
        if self.decay_norm_and_bias:
            return [name for name, _ in model.named_parameters()]
        return get_parameter_names(model, list(_NORMS), [r"bias", r"_token$", r"position_embedding"])

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.batch_repetition == 1:
            return super()._get_train_sampler(train_dataset)
        dataset = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return RepeatedSampler(len(dataset), self.batch_repetition, seed)  # type: ignore[arg-type]

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """As ``Trainer``, or steps."""
        if not self.lr_milestones or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        warm = self.args.get_warmup_steps(num_training_steps)
        drops = [round(share * num_training_steps) for share in self.lr_milestones]

        def factor(step: int) -> float:
            rise = min(1.0, (step + 1) / (warm + 1))
            return rise * self.lr_gamma ** sum(step >= drop for drop in drops)

        chosen: Any = optimizer if optimizer is not None else self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, factor)
        self._created_lr_scheduler = True
        return self.lr_scheduler
