"""The flags that every training shares: the run, and all of ``TrainingArguments`` with our defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.flags import flag


@dataclass(frozen=True)
class RunSettings:
    """How the run treats its folder, and what it reports."""

    recipe: str | None = flag(
        "run", None, "flags of a published row, by its name in recipes/ or the path of a JSON file"
    )
    resume: bool = flag("run", False, "go on from the last checkpoint in the output folder")
    overwrite: bool = flag("run", False, "replace the run that the output folder holds")
    early_stopping: int | None = flag("run", None, "stop after this many evaluations without a better score")
    bins: int = flag("run", 15, "equal-width bins of ECE and OE")

    def __post_init__(self) -> None:
        check_number("bins", self.bins, low=1)


@dataclass
class TrainSettings(TrainingArguments):
    """``TrainingArguments`` with the defaults of fine-tuning on GLUE.

    Differs in: do_train and do_eval true; output_dir from the run's name; learning_rate 2e-5; evaluation and a
    checkpoint each epoch, the last one kept; logging_steps 50; NaN losses shown; memory pinned only for a GPU.
    """

    _argument_group_name = "training (all of transformers.TrainingArguments)"

    output_dir: str | None = field(
        default=None, metadata={"help": "the run folder; default runs/<task>-<model>-<method>-s<seed>"}
    )
    do_train: bool = field(default=True, metadata={"help": "train; false: judge the model as it is"})
    do_eval: bool = field(default=True, metadata={"help": "judge on the validation split at the end"})
    learning_rate: float = field(default=2e-5, metadata={"help": "peak learning rate"})
    eval_strategy: IntervalStrategy | str = field(default="epoch", metadata={"help": "no, steps or epoch"})
    save_strategy: str = field(default="epoch", metadata={"help": "no, steps, epoch or best"})
    save_total_limit: int | None = field(default=1, metadata={"help": "checkpoints to keep"})
    logging_steps: float = field(default=50, metadata={"help": "steps between log lines"})
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available,
        metadata={"help": "pin batches in memory; default where there is a GPU"},
    )
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "hide losses that are not finite"})

    def __post_init__(self) -> None:
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            check_number(name, getattr(self, name), low=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        if self.max_steps <= 0:
            check_number("num_train_epochs", self.num_train_epochs, low=0, high=1e6, open_low=True)
        if self.label_smoothing_factor:
            check_number("label_smoothing_factor", self.label_smoothing_factor, low=0, high=1)
        if not math.isfinite(self.weight_decay):
            raise UserError(f"weight_decay must be a finite number, got {self.weight_decay}.")
        super().__post_init__()
