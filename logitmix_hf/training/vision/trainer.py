"""``MixTrainer`` with what image networks are trained by: steps of the learning rate, decay of every weight."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers.trainer_pt_utils import get_parameter_names

from logitmix_hf.errors import UserError
from logitmix_hf.trainer import MixTrainer
from logitmix_hf.training.settings import Change
from logitmix_hf.vision.data import ImageData
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


def avoid_single_image(model: nn.Module, data: ImageData, training: Any) -> dict[str, Change]:
    """What leaves such a batch out of every epoch: the change of ``dataloader_drop_last`` where one is needed.

    Args:
        data: whose split ``"train"`` is trained on, in one process.
        training: ``TrainingArguments``.

    Raises:
        UserError: when no batch would be left, or every batch is one image.
    """
    rows, batch = len(data.splits["train"]), training.per_device_train_batch_size
    if (training.dataloader_drop_last and rows >= batch > 1) or (rows % batch != 1 and batch > 1):
        return {}
    if trains_on_one(model, data.channels, data.image_size):
        return {}
    if batch == 1 or rows == 1:
        what = "--per_device_train_batch_size 1" if batch == 1 else "one training image"
        raise UserError(
            f"{what}: BatchNorm of this network sees a single value a channel and cannot train on it: take batches of 2"
            " or more, larger images (--image_size), or a network that halves less."
        )
    why = (
        f"the last batch of an epoch would be one image ({rows} images, batches of {batch}), which BatchNorm of this"
        " network cannot train on; one image an epoch is left out"
    )
    return {"dataloader_drop_last": Change(True, why)}


def trains_on_one(model: nn.Module, channels: int, size: int) -> bool:
    """Whether a batch of one image can pass the network in training."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return True
    # On a copy: a pass in training moves the running statistics.
    twin = copy.deepcopy(model).train()
    first = next(model.parameters())
    try:
        with torch.no_grad():
            twin(pixel_values=torch.zeros(1, channels, size, size, device=first.device, dtype=first.dtype))
    except ValueError as problem:
        return "more than 1 value per channel" not in str(problem)
    return True
