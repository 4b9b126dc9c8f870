"""Every flag of ``logitmix glue`` that is not about mixing: data, model, run, training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from logitmix_hf.errors import UserError, check_number

GLUE = "nyu-mll/glue"
BERT = "google-bert/bert-base-uncased"


def _flag(group: str, default: Any, help: str, *aliases: str) -> Any:
    return field(default=default, metadata={"help": help, "group": group, "aliases": list(aliases)})


@dataclass(frozen=True)
class DataSettings:
    """Which rows to train and judge on."""

    task: str | None = _flag(
        "data", None, "a GLUE task: rte, mrpc, cola, sst2, stsb, qnli, qqp, mnli, wnli", "--task_name"
    )
    dataset_name: str | None = _flag(
        "data", None, f"Hub data set, local folder, or builtin (synthetic, needs no network); default {GLUE}"
    )
    dataset_config: str | None = _flag("data", None, "configuration of a Hub data set", "--dataset_config_name")
    train_file: str | None = _flag("data", None, "own data: .csv, .tsv, .json, .jsonl or .parquet")
    validation_file: str | None = _flag("data", None, "own validation data; without it a share of train is held out")
    test_file: str | None = _flag("data", None, "own test data, for --do_predict")
    text_columns: str | None = _flag("data", None, "column of the text, or two joined by a comma: a,b")
    label_column: str | None = _flag("data", None, "column of the label; default label or labels")
    regression: bool = _flag("data", False, "treat the labels as values")
    validation_share: float = _flag("data", 0.1, "share of train to hold out where there is no validation data")
    max_train_samples: int | None = _flag("data", None, "train on this many rows, drawn by the seed")
    max_eval_samples: int | None = _flag("data", None, "judge on the first rows only")
    max_length: int = _flag("data", 128, "tokens a row is cut to", "--max_seq_length")

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, low=0, high=0.9, open_low=True)
        check_number("max_length", self.max_length, low=4)
        for name in ("max_train_samples", "max_eval_samples"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=1)
        files = [name for name in ("train_file", "validation_file", "test_file") if getattr(self, name)]
        if self.task and files:
            raise UserError(f"--task {self.task} and --{files[0]} were both given: take GLUE's data or your own.")
        if files and self.dataset_name:
            raise UserError(f"--dataset_name {self.dataset_name} and --{files[0]} were both given: take one of them.")
        if not self.task and not self.train_file and not self.dataset_name:
            raise UserError(
                "No data was given: take a GLUE task (--task rte) or your own file (--train_file data.csv)."
            )

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The text columns as names."""
        return None if self.text_columns is None else tuple(name.strip() for name in self.text_columns.split(","))


@dataclass(frozen=True)
class ModelSettings:
    """Which network to start from."""

    model: str = _flag(
        "model", BERT, "Hub id, local folder, or builtin (MiniLM-L6 from a package)", "--model_name_or_path"
    )
    model_revision: str = _flag("model", "main", "branch, tag or commit of a Hub model")
    tokenizer: str | None = _flag("model", None, "another tokenizer than the model's", "--tokenizer_name")
    ignore_mismatched_sizes: bool = _flag("model", False, "replace a head that does not fit the data's labels")


@dataclass(frozen=True)
class RunSettings:
    """How the run treats its folder, and what it reports."""

    recipe: str | None = _flag(
        "run", None, "flags of a published row, by its name in recipes/ or the path of a JSON file"
    )
    resume: bool = _flag("run", False, "go on from the last checkpoint in the output folder")
    overwrite: bool = _flag("run", False, "replace the run that the output folder holds")
    early_stopping: int | None = _flag("run", None, "stop after this many evaluations without a better score")
    bins: int = _flag("run", 15, "equal-width bins of ECE and OE")

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
