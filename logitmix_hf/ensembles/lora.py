"""LoRA adapters beside each other on one network (Hu et al. 2022), by the package peft: made, told apart, switched.

Each adapter has its own low-rank matrices and its own copy of the head; everything else is the network's, frozen.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from logitmix_hf.errors import UserError

FOLDER = "adapters"
"""Below a run's folder: each adapter as peft keeps it, ``adapters/member_0/adapter_config.json`` …"""

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"


def member_name(number: int) -> str:
    """What peft calls the adapter of a member."""
    return f"member_{number}"


def require_peft() -> None:
    """Raises:
    UserError: where peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise UserError("LoRA needs the package peft, not installed here: pip install 'logitmix_hf[peft]'.")


def lora_config(
    network: Any, rank: int, alpha: float, dropout: float, targets: Sequence[str] | None = None
) -> dict[str, Any]:
    """The configuration of an adapter of this classifier, as peft takes it and JSON can hold it.

    Args:
        network: of transformers, with its head.
        rank: r, at least 1. alpha: the matrices' product is scaled by alpha / r. dropout: of their input, in [0, 1).
        targets: ends of the names of layers that are adapted; None: those that peft names for the architecture (of BERT
            ``query`` and ``value``), else all linear layers below the head.

    Raises:
        UserError: for targets that the network has not.
    """
    require_peft()
    from peft import LoraConfig
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    heads = head_modules(network)
    inside = [
        name for name, one in network.named_modules() if isinstance(one, nn.Linear | Conv1D) and name not in heads
    ]
    if targets is None:
        targets = KNOWN.get(getattr(network.config, "model_type", ""))
        if targets is None or not any(name.endswith(tuple(targets)) for name in inside):
            targets = sorted({name.rpartition(".")[2] for name in inside})
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in inside):
            ends = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in inside))
            raise UserError(f"No linear layer of {type(network).__name__} below its head is called {target!r}: {ends}.")
    made = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=list(targets),
        modules_to_save=list(heads),
    )  # type: ignore[call-arg]
    return as_plain(json.loads(json.dumps(made.to_dict(), default=_as_json)))


def as_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that peft wrote, without what says nothing and without where the network came from."""
    return {
        name: value for name, value in values.items() if value not in (None, {}, []) and name not in _OF_THE_MACHINE
    }


_OF_THE_MACHINE = ("base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version")


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))


def head_modules(network: Any) -> list[str]:
    """The layers of a classifier that are no part of its backbone: each adapter has its own. Single layers, since peft mixes
    members in a batch at these alone, and not at a head that is a module of its own."""
    backbone = getattr(network, "base_model_prefix", "")
    return [
        f"{part}.{name}" if name else part
        for part, module in network.named_children()
        if part != backbone
        for name, layer in module.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]


def adapted(network: Any, configs: Sequence[Mapping[str, Any]]) -> Any:
    """``network`` inside a ``PeftModel`` that holds these adapters, ``member_0`` and so on, all of them to be trained."""
    require_peft()
    from peft import LoraConfig, get_peft_model

    made = [LoraConfig(**config) for config in configs]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)  # peft's own
        model: Any = get_peft_model(network, made[0], adapter_name=member_name(0))
        for number, config in enumerate(made[1:], 1):
            model.add_adapter(member_name(number), config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(adapter_of(name) is not None)
    return model


def adapter_of(name: str) -> str | None:
    """The adapter that a parameter with this dotted name belongs to; None for the network's own."""
    steps = name.split(".")
    if "modules_to_save" in steps:
        return steps[steps.index("modules_to_save") + 1]
    return next((after for step, after in itertools.pairwise(steps) if step.startswith("lora_")), None)


def switched(model: Any) -> list[Any]:
    """The modules that know which adapter is in use."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)]


def use(modules: Sequence[Any], name: str) -> None:
    """Let ``modules`` (:func:`switched`) run with one adapter. peft's own ``set_adapter`` also freezes all others, which
    wait for their gradients here."""
    for module in modules:
        module._active_adapter = name


def may_mix(modules: Sequence[Any]) -> bool:
    """Whether peft runs rows of several adapters in one batch through ``modules`` (:func:`switched`): it does at plain
    layers, and not at the normalisation in some heads, nor with DoRA."""
    from peft.utils.other import AuxiliaryTrainingWrapper

    plain = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    heads = [module.original_module for module in modules if isinstance(module, AuxiliaryTrainingWrapper)]
    dora = any(any(getattr(module, "use_dora", {}).values()) for module in modules)
    return not dora and all(isinstance(module, plain) for module in heads)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within: torch draws from a stream of this seed; afterwards its streams are where they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def initialise(model: Any, number: int, seed: int, *, head: bool) -> None:
    """Draw the matrices of one adapter anew, with ``head`` also its copy of the head."""
    from peft.tuners.lora import LoraLayer
    from peft.utils.other import ModulesToSaveWrapper

    name, network = member_name(number), model.get_base_model()
    with seeded(seed, next(model.parameters()).device):
        for module in model.modules():
            if isinstance(module, LoraLayer) and name in module.lora_A:
                module.reset_lora_parameters(name, True)
        for module in model.modules() if head else ():
            if isinstance(module, ModulesToSaveWrapper):
                for part in module.modules_to_save[name].modules():
                    network._init_weights(part)


def save_adapter(model: Any, number: int, config: Mapping[str, Any], folder: Path, base: str | None = None) -> None:
    """Write one adapter as ``PeftModel.from_pretrained`` reads it.

    Args:
        model: of :func:`adapted`. folder: is made. base: the network's name on the Hub, for whoever loads it.
    """
    from peft import LoraConfig, get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    kept = LoraConfig(**{**config, "base_model_name_or_path": base, "inference_mode": True})
    kept.save_pretrained(str(folder))
    state: dict[str, Tensor] = get_peft_model_state_dict(model, adapter_name=member_name(number))
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / WEIGHTS_FILE)
