"""LoRA in ``logitmix glue``: what the flags need, the model that holds the adapters, and what becomes of a lone one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from logitmix_hf.ensembles import LogitmixAdaptersForSequenceClassification, over_one_network
from logitmix_hf.ensembles.lora import FOLDER, initialise, lora_config, member_name, require_peft
from logitmix_hf.errors import UserError
from logitmix_hf.models.pretrained import Pretrained
from logitmix_hf.steps.adapters import NO_CHECKPOINTING
from logitmix_hf.training.settings import TrainSettings
from logitmix_hf.training.text.settings import AdapterSettings


def check_adapters(settings: AdapterSettings, training: TrainSettings) -> None:
    """Require what adapters need, as far as the flags tell.

    Raises:
        UserError: without peft, where nothing is trained, and for what several members cannot be trained with.
    """
    if not settings.count:
        return
    require_peft()
    asked = "--lora" if settings.lora_members is None else f"--members {settings.count}"
    if not training.do_train:
        raise UserError(f"{asked} trains LoRA adapters, and --do_train false trains nothing: take one.")
    launched = {name: os.environ.get(f"ACCELERATE_USE_{name.upper()}") == "true" for name in ("fsdp", "deepspeed")}
    for name in ("fsdp", "deepspeed"):
        if getattr(training, name) or launched[name]:
            raise UserError(
                f"{asked} trains adapters over a network that every process holds whole, and --{name} takes it apart: take"
                " one."
            )
    if settings.count > 1 and training.gradient_checkpointing:
        raise UserError(f"--{NO_CHECKPOINTING.format(settings.count)}")


def with_adapters(
    model: PreTrainedModel, settings: AdapterSettings, source: Pretrained, seed: int, has_head: bool
) -> LogitmixAdaptersForSequenceClassification:
    """The network with new adapters; member k is drawn from seed + k, and so is its head where the network has none."""
    config = lora_config(model, **settings.values)
    base = None if Path(source.path).is_dir() else source.name
    adapted = over_one_network(model, [config] * settings.count, base_model=base)
    for number in range(settings.count):
        initialise(adapted.network, number, seed + number, head=not has_head)
    return adapted


def record_of_adapters(model: LogitmixAdaptersForSequenceClassification) -> dict[str, Any]:
    """What ``run.json`` says of them beside the model."""
    config = model.config.adapters[0]
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    record = {name: config.get(name) for name in ("r", "lora_alpha", "lora_dropout", "target_modules")}
    return {"lora": {**record, "members": model.count, "parameters_trained": trained}}


def settle(trainer: Any, model: LogitmixAdaptersForSequenceClassification, path: Path | None) -> None:
    """Put a lone adapter into the weights, so that what is judged and saved is a plain classifier, which loads without peft.

    Args:
        path: where the adapter itself is kept, below ``adapters``; None for a process that writes nothing.
    """
    if path is not None:
        model.save_adapter(0, path / FOLDER / member_name(0))
    trainer.model = trainer.model_wrapped = model.merged()
