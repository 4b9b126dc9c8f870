"""Classifiers that were trained as LoRA adapters, found again as adapters over the one network that they began from."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from logitmix_hf.ensembles.adapters import LogitmixAdaptersForSequenceClassification, over_one_network
from logitmix_hf.ensembles.lora import CONFIG_FILE, FOLDER, WEIGHTS_FILE, as_plain, member_name

TOLERANCE = 1e-5
"""How far weights may lie from each other, relative to the largest of a tensor: an adapter was added and taken out."""


def adapter_folder(run: Path) -> Path | None:
    """Where the run of a lone adapter keeps it; None for any other run."""
    folder = run / FOLDER / member_name(0)
    lone = (folder / CONFIG_FILE).is_file() and not (run / FOLDER / member_name(1)).exists()
    return folder if lone else None


@torch.no_grad()
def over_their_network(
    models: Sequence[Any], folders: Sequence[Path], average: str
) -> LogitmixAdaptersForSequenceClassification | int:
    """The network once, with the adapter and the head of each of these classifiers.

    Args:
        models: plain classifiers, their adapters added in, their temperatures out; they stay as they are.
        folders: where peft keeps the adapter of each.

    Returns:
        The model, or the number of the first classifier that began from another network than the first one.
    """
    from peft import set_peft_model_state_dict
    from peft.tuners.lora import LoraLayer
    from peft.utils.other import ModulesToSaveWrapper

    written = [json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")) for folder in folders]
    configs = [as_plain(one) for one in written]
    base = written[0].get("base_model_name_or_path")
    made = over_one_network(copy.deepcopy(models[0]), configs, average, base)
    for number, folder in enumerate(folders):
        set_peft_model_state_dict(made.network, load_file(folder / WEIGHTS_FILE), adapter_name=member_name(number))
    layers: dict[str, Any] = dict(made.classifier.named_modules())
    for module in layers.values():
        if isinstance(module, LoraLayer) and member_name(0) in module.lora_A:
            module.get_base_layer().weight -= module.get_delta_weight(member_name(0))  # type: ignore[operator]  of its linear kinds
    for number, model in enumerate(models):
        parts: dict[str, Any] = dict(model.named_modules())
        for path, module in layers.items():
            if isinstance(module, ModulesToSaveWrapper):
                module.modules_to_save[member_name(number)].load_state_dict(parts[path].state_dict())
        if not _began_there(model, layers, member_name(number)):
            return number
    return made.eval()


def _began_there(model: Any, layers: dict[str, Any], name: str) -> bool:
    """Whether the network with this adapter added has the weights of ``model``, but for its head."""
    from peft.tuners.lora import LoraLayer
    from peft.utils.other import ModulesToSaveWrapper

    for path, parameter in model.named_parameters():
        place, _, kind = path.rpartition(".")
        module = layers.get(place)
        if isinstance(module, ModulesToSaveWrapper):
            continue
        if isinstance(module, LoraLayer):
            found: Any = getattr(module.get_base_layer(), kind)
            if kind == "weight" and name in module.lora_A:
                found = found + module.get_delta_weight(name)  # type: ignore[operator]
        else:
            found = getattr(module, kind, None)
        if not _close(found, parameter):
            return False
    return True


def _close(one: Tensor | None, other: Tensor) -> bool:
    if one is None or one.shape != other.shape:
        return False
    return float((one - other).abs().max()) <= TOLERANCE * max(float(other.abs().max()), 1.0)
