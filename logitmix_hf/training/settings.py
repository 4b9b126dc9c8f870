"""The flags that every training shares: all of ``TrainingArguments``, with our defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from logitmix_hf.errors import UserError, check_number, say
from logitmix_hf.evaluation.directions import better
from logitmix_hf.flags import option
from logitmix_hf.process import is_main_process
from logitmix_hf.trainer.resolved import by_score
from logitmix_hf.trainer.weight_average import check_not_the_best
from logitmix_hf.training.parallel_flags import check_configurations, read_fsdp

RANGES: dict[str, dict[str, Any]] = {
    "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps": {"low": 1},
    "eval_accumulation_steps ddp_timeout dataloader_prefetch_factor": {"low": 1},
    "learning_rate save_steps eval_steps": {"low": 0, "open_low": True},
    "warmup_steps weight_decay max_grad_norm logging_steps eval_delay adam_epsilon neftune_noise_alpha": {"low": 0},
    "adam_beta1 adam_beta2 ema": {"low": 0, "high": 0.999999},
    "num_train_epochs": {"low": 0, "high": 1e6, "open_low": True},
    "label_smoothing_factor": {"low": 0, "high": 1},
    "seed data_seed": {"low": 0, "high": 2**32 - 1},  # NumPy's generators take no more
    "dataloader_num_workers": {"low": 0, "high": 1024},
}
"""What transformers takes as it is, and would fall over in the middle of a run, or train another way than was meant."""


@dataclass
class TrainSettings(TrainingArguments):
    """``TrainingArguments`` with the defaults of fine-tuning on GLUE.

    Differs in: do_train and do_eval true; output_dir from the run's name; learning_rate 2e-5; evaluation and a
    checkpoint each epoch, the last one kept; logging_steps 50; NaN losses shown; memory pinned only for a GPU.
    """

    _argument_group_name = "training (all of transformers.TrainingArguments)"

    output_dir: str | None = option(None, "the run folder; default runs/<task>-<model>-<method>-s<seed>")
    do_train: bool = option(True, "train; false: judge the model as it is")
    do_eval: bool = option(True, "judge on the validation split, while training and at the end")
    learning_rate: float = option(2e-5, "peak learning rate")
    eval_strategy: IntervalStrategy | str = option("epoch", "no, steps or epoch")
    save_strategy: str = option("epoch", "no, steps, epoch or best")
    save_total_limit: int | None = option(1, "checkpoints to keep")
    logging_steps: float = option(50, "steps between log lines")
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available,
        metadata={"help": "pin batches in memory; default where there is a GPU"},
    )
    logging_nan_inf_filter: bool = option(False, "hide losses that are not finite")
    ema: float = option(
        0.0, "keep an average of the weights with this decay (.999), judged at the end; the weights are on the way"
    )

    def __post_init__(self) -> None:
        for name, limits in [(name, limits) for names, limits in RANGES.items() for name in names.split()]:
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), **limits)
        if self.max_steps == 0 or self.max_steps < -1:
            raise UserError(
                f"max_steps must be a number at least 1, or -1 for --num_train_epochs, got {self.max_steps}."
            )
        for name in ("lr_scheduler_kwargs", "gradient_checkpointing_kwargs"):
            if isinstance(text := getattr(self, name), str) and not text.lstrip().startswith("{"):
                raise UserError(f"{name} must be a JSON object such as '{{\"num_cycles\": 2}}', got {text!r}.")
        if self.ema:
            check_not_the_best(self)
        self._check_best()
        self._mean_the_cpu()
        self.fsdp = read_fsdp(self.fsdp)
        check_configurations(self, ("deepspeed", "fsdp_config", "accelerator_config"))
        if not self.do_eval:  # stock turns it on again where `eval_strategy` says when
            if self.load_best_model_at_end:
                raise UserError(
                    "--load_best_model_at_end chooses by judged rows, and --do_eval false judges none: take one."
                )
            self.eval_strategy = IntervalStrategy.NO
        super().__post_init__()
        for name, value in by_score(self).items():
            setattr(self, name, value)

    def _mean_the_cpu(self) -> None:
        """Several processes on a machine without an accelerator: without ``use_cpu`` each would train alone, on all rows,
        and all write the one folder."""
        processes = int(os.environ.get("WORLD_SIZE") or 1)
        if processes > 1 and not self.use_cpu and not torch.accelerator.is_available():
            self.use_cpu = True
            if is_main_process():
                say(f"{processes} processes and no GPU: they train together on the CPU (--use_cpu).")

    def _check_best(self) -> None:
        """Require a score that is better at one end, and a direction that is the score's own."""
        name = self.metric_for_best_model
        direction = None if name is None else better(name)
        if direction == 0 and self.greater_is_better is None:
            raise UserError(
                f"--metric_for_best_model {name} is no score to choose by: neither the largest nor the smallest is the best"
                " one. Take ece, nll or the task's own score."
            )
        if direction == -1 and self.greater_is_better:
            raise UserError(
                f"--greater_is_better true would keep the worst {name}: lower is better, leave the flag out."
            )
        if direction == 1 and self.greater_is_better is False:
            raise UserError(
                f"--greater_is_better false would keep the worst {name}: higher is better, leave the flag out."
            )


@dataclass(frozen=True)
class Change:
    """What a flag had to become, given data, model and machine, and ``why``, in words that end a sentence."""

    value: Any
    why: str
