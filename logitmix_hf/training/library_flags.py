"""Flags of ``transformers.TrainingArguments`` that cannot work here, told before anything is loaded."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from torch.utils.checkpoint import checkpoint
from transformers import Trainer, get_scheduler
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.utils.import_utils import is_liger_kernel_available

from logitmix_hf.errors import UserError, one_line, pick


def check_library_flags(training: Any) -> None:
    """Require what flags of the library name to be installed, complete, and of use.

    Args:
        training: ``TrainingArguments``.

    Raises:
        UserError: naming the flag and what to do.
    """
    refused = {
        "batch_eval_metrics": "scores would see a batch at a time, but calibration is of all rows",
        "prediction_loss_only": "predictions would be thrown away, and they are what is judged",
        "eval_do_concat_batches": "scores are of all rows, and batches that are not joined are none",
        "label_names": "labels are called labels here; name the column of the data by --label_column",
    }
    for name, why in refused.items():
        if bool(getattr(training, name)) is not (name == "eval_do_concat_batches"):  # the one that is on
            raise UserError(f"--{name} cannot be used here: {why}. Leave it out.")
    _check_reports(training)
    for name in training.gradient_checkpointing_kwargs or {}:
        pick(dict.fromkeys(signature(checkpoint).parameters), name, "argument of gradient checkpointing")
    if training.torch_compile:
        pick(
            {one.value.lower(): one for one in DynamoBackend},
            str(training.torch_compile_backend).lower(),
            "torch_compile_backend",
        )
        from torch._inductor import list_mode_options  # takes seconds

        pick(list_mode_options(), training.torch_compile_mode or "default", "torch_compile_mode")
    if training.use_liger_kernel and not is_liger_kernel_available():
        raise UserError("--use_liger_kernel true needs a package that is not installed: pip install liger-kernel.")
    _check_optimizer(training)


def _check_optimizer(training: Any) -> None:
    """By the library's own making of both, on one number."""
    optim, schedule = (str(getattr(one, "value", one)) for one in (training.optim, training.lr_scheduler_type))
    if not training.do_train:
        return
    try:
        Trainer.get_optimizer_cls_and_kwargs(training, None)
    except (ImportError, ValueError, RuntimeError, KeyError) as problem:
        raise UserError(f"--optim {optim} cannot be used here: {one_line(problem)}") from problem
    number = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    try:
        schedule_of_ten = get_scheduler(
            training.lr_scheduler_type,
            number,
            num_warmup_steps=1,
            num_training_steps=10,
            scheduler_specific_kwargs=training.lr_scheduler_kwargs or {},
        )
        for _ in range(9):
            number.step()
            schedule_of_ten.step()
    except Exception as problem:  # of whatever class: what a schedule lacks is told by its own function
        raise UserError(
            f"--lr_scheduler_type {schedule} cannot be used with --lr_scheduler_kwargs"
            f" {training.lr_scheduler_kwargs or 'not given'}: {one_line(problem)}"
        ) from problem


def _check_reports(training: Any) -> None:
    """Require what ``--report_to`` names to be there."""
    asked = [name for name in training.report_to or () if name != "none"]
    for name in sorted(set(asked) - set(get_available_reporting_integrations())):
        make = pick(INTEGRATION_TO_CALLBACK, name, "report_to")
        try:
            make()
        except (RuntimeError, ImportError) as error:
            raise UserError(f"--report_to {name} cannot be used here: {one_line(error)}") from None
