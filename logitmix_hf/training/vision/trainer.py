"""``MixTrainer`` with what image networks are trained by: steps of the learning rate, decay of every weight, averages."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback
from transformers.trainer_pt_utils import get_parameter_names
from transformers.trainer_utils import get_last_checkpoint

from logitmix_hf.errors import printable
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.trainer import MixTrainer
from logitmix_hf.vision.data.repetition import RepeatedSampler

AVERAGE = "average.pt"
"""Beside a checkpoint's weights: their average, and how many steps it holds."""

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
        ema: decay of an exponential moving average of weights and buffers, which is what the model holds once
            :meth:`train` returns, and so what is judged and saved at the end; evaluations on the way judge the weights
            themselves. 0: none.
    """

    def __init__(
        self,
        *args: Any,
        decay_norm_and_bias: bool = True,
        lr_milestones: list[float] | None = None,
        lr_gamma: float = 0.2,
        batch_repetition: int = 1,
        ema: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.batch_repetition = batch_repetition
        self.decay_norm_and_bias = decay_norm_and_bias
        self.lr_milestones, self.lr_gamma = list(lr_milestones or []), lr_gamma
        super().__init__(*args, **kwargs)
        self.average = WeightAverage(ema) if ema else None
        if self.average is not None:
            self.add_callback(self.average)

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

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As ``MixTrainer``; afterwards the model holds the average, where there is one."""
        if self.average is not None:
            last = get_last_checkpoint(str(self.args.output_dir)) if resume_from_checkpoint is True else None
            folder = resume_from_checkpoint if isinstance(resume_from_checkpoint, str) else last
            self.average.resume_from = Path(folder) if folder else None
        result = super().train(resume_from_checkpoint, *args, **kwargs)
        if self.average is not None:
            self.average.put_into(self.model)
        return result

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As ``Trainer``; a checkpoint also carries the average."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.average is not None and _internal_call and output_dir and self.args.should_save:
            self.average.save(Path(output_dir) / AVERAGE)


class WeightAverage(TrainerCallback):
    """An exponential moving average of weights and buffers, taken after every optimiser step.

    Early averages count the steps so far, so that the random start is soon forgotten: the decay of step n is at most
    (1 + n) / (10 + n), as TensorFlow's ``ExponentialMovingAverage`` has it.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.model: AveragedModel | None = None
        self.resume_from: Path | None = None
        self._steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin with the weights, or go on with what a checkpoint kept."""
        self.model = AveragedModel(unwrap(kwargs["model"]), use_buffers=True)
        self._steps = 0
        if not state.global_step or self.resume_from is None:
            return
        saved = self.resume_from / AVERAGE
        if saved.is_file():
            self.model.load_state_dict(torch.load(saved, map_location=args.device, weights_only=True))
            self._steps = int(self.model.n_averaged)
        else:
            warnings.warn(
                f"{printable(str(self.resume_from))} holds no average of weights: it begins anew with these.",
                stacklevel=2,
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take one step's weights in."""
        assert self.model is not None
        # Counted here too: a number on a GPU would hold up every step.
        decay = min(self.decay, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        self.model.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.model.update_parameters(unwrap(kwargs["model"]))

    def save(self, path: Path) -> None:
        """Write what a resumed run needs."""
        assert self.model is not None
        torch.save(self.model.state_dict(), path)

    def put_into(self, model: Any) -> None:
        """Replace the model's weights by the average."""
        if self.model is not None:
            unwrap(model).load_state_dict(self.model.module.state_dict())
