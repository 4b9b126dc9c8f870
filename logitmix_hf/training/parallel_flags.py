"""How a training is to be spread over processes: what was asked for, in flags or by the launcher, against what came."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import is_deepspeed_available

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, one_line, pick

FSDP_WORDS = {"true": True, "false": None, "none": None}
"""What ``--fsdp`` may say; the older words of the library stay its own."""

_OLDER_WORDS = ("full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2", "offload", "auto_wrap")


def read_fsdp(given: Any) -> Any:
    """``--fsdp`` as ``TrainingArguments`` takes it.

    Raises:
        UserError: for a word that is none.
    """
    if not isinstance(given, str):
        return given
    word = given.strip().lower()
    if not word:
        return True  # the bare flag
    if word in FSDP_WORDS:
        return FSDP_WORDS[word]
    for one in word.split():
        pick(dict.fromkeys((*FSDP_WORDS, *_OLDER_WORDS)), one, "choice of --fsdp")
    return given


def check_configurations(training: Any, files: Sequence[str]) -> None:
    """Require DeepSpeed where it is asked for, and the settings that flags name as a file to be readable.

    Args:
        training: ``TrainingArguments``. files: names of those flags.

    Raises:
        UserError: naming the flag, what is wrong, and what to install.
    """
    by_launcher = _says_true("ACCELERATE_USE_DEEPSPEED")
    if (training.deepspeed or by_launcher) and not is_deepspeed_available():
        asked = "--deepspeed" if training.deepspeed else "accelerate launch --use_deepspeed"
        raise UserError(
            f"{asked} needs a package that is not installed: pip install 'logitmix_hf[deepspeed]', or leave it out."
        )
    for flag in files:
        given = getattr(training, flag)
        if isinstance(given, str) and not given.lstrip().startswith("{"):
            _check_file(flag, given)


def _check_file(flag: str, path: str) -> None:
    try:
        held = json.loads(expanded(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise UserError(
            f"--{flag} {path!r} cannot be read as a JSON file: {one_line(problem)}. Give the path of a JSON file of its"
            " settings."
        ) from problem
    if not isinstance(held, dict):
        raise UserError(f"--{flag} {path!r} holds a {type(held).__name__}: it must be one JSON object of settings.")


def check_asked(training: Any) -> None:
    """Before anything is loaded: require what was asked for to be possible with these processes on this device.

    Args:
        training: ``TrainingArguments``, made.

    Raises:
        UserError: naming what was asked, what there is and what to do.
    """
    asked = asked_for(training)
    if asked is None or not training.do_train:
        return
    if ema := getattr(training, "ema", 0.0):
        raise UserError(
            f"--ema {ema:g} averages whole weights, and with {asked} each process holds a part of them: leave out one of the"
            " two."
        )
    joined = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not joined:
        raise UserError(
            f"{asked} spreads a training over processes that a launcher starts, and this one was started alone: start it"
            " with `accelerate launch` or `torchrun --nproc_per_node N` (N may be 1), or leave it out."
        )
    if asked == "FSDP" and not runs_fsdp(training.device):
        raise UserError(
            "FSDP was asked for, but accelerate has none on a CPU and would train with DDP without a word: leave --use_cpu"
            " out where there is a GPU, else leave --fsdp out."
        )
    if asked == "DeepSpeed":
        _check_gathering(training)


def runs_fsdp(device: torch.device) -> bool:
    """Whether accelerate shards on such a device."""
    return device.type != "cpu"


def check_got(training: Any, accelerator: Any) -> None:
    """Once the trainer is made: require that what was asked for is what came.

    Raises:
        UserError: naming both.
    """
    asked, came = asked_for(training), str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type))
    if asked is not None and training.do_train and came != asked.upper():
        raise UserError(
            f"{asked} was asked for, but accelerate would train with {came}: leave --use_cpu and settings of another kind"
            f" out, or leave {asked} out."
        )


def asked_for(training: Any) -> str | None:
    """``"DeepSpeed"`` or ``"FSDP"`` where a flag or the launcher asks for it."""
    if training.deepspeed or _says_true("ACCELERATE_USE_DEEPSPEED"):
        return "DeepSpeed"
    return "FSDP" if training.fsdp or _says_true("ACCELERATE_USE_FSDP") else None


def _check_gathering(training: Any) -> None:
    """ZeRO-3 must be able to give the whole model at the end."""
    plugin = training.deepspeed_plugin
    zero = ((plugin.deepspeed_config if plugin is not None else None) or {}).get("zero_optimization") or {}
    if zero.get("stage") == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        raise UserError(
            "ZeRO-3 keeps a part of the model in each process, and its settings do not let the whole be saved: put"
            ' "stage3_gather_16bit_weights_on_model_save": true into "zero_optimization".'
        )


def _says_true(name: str) -> bool:
    return os.environ.get(name, "false").strip().lower() in ("1", "true", "yes", "on")
