"""A calibration in the model itself: W/T and b/T in its last linear layer, recorded in its configuration.

``config.json`` then says ``"logitmix": {"temperature": T, "folded": true, …}``, every ``pipeline`` and every export
gives calibrated probabilities without code of ours, and :func:`unfold` gives the first weights back. Folding again
multiplies: the record holds the product of all temperatures that are in the weights, so that one ``unfold`` undoes them.
Vector scaling is folded as exactly, as W*scale and b*scale + shift, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.scaling import NONE, Scaling
from logitmix_hf.models.heads import find_heads
from logitmix_hf.models.unwrap import logits_of, unwrap
from logitmix_hf.precision import exact

RECORD = "logitmix"
"""The entry of ``config.json``."""

_PLAIN = (nn.Linear, nn.Conv2d)
_EXACT = (torch.float32, torch.float64)


def fold(model: nn.Module, calibrator: float | Scaling, batch: Mapping[str, Tensor] | None = None, **facts: Any) -> str:
    """Put a temperature, or a vector scaling, into the last linear layer of a classifier and record it; where that cannot
    be, record it alone.

    Args:
        model: of transformers; also wrapped by DDP, ``torch.compile`` or PEFT (with its head in ``modules_to_save``).
        calibrator: T > 0, or a :class:`~logitmix_hf.evaluation.scaling.Scaling`.
        batch: inputs that the model takes, without labels, on its device: the logits of the folded model must be those
            of the model before, calibrated. Default: a few tokens or an image of noise.
        facts: further entries of the record, such as ``protocol``, ``split`` and ``rows``.

    Returns:
        "", or in one line why it is in the configuration alone, where :func:`scaling_left` finds it.

    Raises:
        UserError: for a temperature that is no number above 0.
    """
    scaling = _as_scaling(calibrator)
    network: Any = unwrap(model)
    before = recorded(network.config)
    heads = tuple(find_heads(network).values())
    reason = _why_not(network, heads, scaling)
    if not reason:
        reason = _put(network, heads, scaling, batch)
    if reason:
        keep_in_config(network.config, scaling, **facts)
        what, how = (
            (f"The temperature {scaling.temperature:.4g}", "Divide the logits by it yourself")
            if scaling.scale is None
            else ("The vector scaling", "Scale and shift the logits yourself")
        )
        return f"{what} is kept in config.json alone: {reason}. {how}; a plain pipeline does not."
    setattr(network.config, RECORD, {**scaling.after(_inside(before)).record(), "folded": True, **facts})
    return ""


def keep_in_config(config: Any, calibrator: float | Scaling, **facts: Any) -> None:
    """Record what is not in the weights (``--fold false``), beside what already is."""
    inside = _inside(recorded(config))
    extra: dict[str, Any] = {}
    if inside.scale is not None:
        extra = {"inside": inside.record()}
    elif not inside.changes_nothing:
        extra = {"temperature_inside": inside.temperature}
    setattr(config, RECORD, {**_as_scaling(calibrator).record(), "folded": False, **extra, **facts})


def unfold(model: nn.Module) -> float | Scaling:
    """Take a temperature, or a vector scaling, out of the weights and out of the configuration; returns it.

    The weights are what they were before folding: to the last bit where T is a power of two, else to 1e-6 of their
    size. What is in the configuration alone is removed from there.

    Raises:
        UserError: when the configuration records none, or the layer it was folded into is not to be found.
    """
    network: Any = unwrap(model)
    record = recorded(network.config)
    if not record:
        raise UserError(f"{type(network).__name__} has no temperature in its configuration: there is nothing to undo.")
    inside = _inside(record)
    if not inside.changes_nothing:
        heads = tuple(find_heads(network).values())
        reason = _why_not(network, heads, inside)
        if reason:
            raise UserError(f"The {inside.told} cannot be taken out of {type(network).__name__}: {reason}.")
        _change(heads, inside.undone())
    delattr(network.config, RECORD)
    all_of_it = inside if record.get("folded") else (Scaling.read(record) or NONE).after(inside)
    return all_of_it.temperature if all_of_it.scale is None else all_of_it


def _as_scaling(calibrator: float | Scaling) -> Scaling:
    return calibrator if isinstance(calibrator, Scaling) else Scaling(calibrator)


def _inside(record: Mapping[str, Any]) -> Scaling:
    """What is in the weights."""
    if record.get("folded"):
        return Scaling.read(record) or NONE
    if "inside" in record:
        return Scaling.read(record["inside"]) or NONE
    return Scaling(float(record.get("temperature_inside", 1.0)))


def scaling_inside(config: Any) -> Scaling:
    """What the logits of the weights went through already."""
    return _inside(recorded(config))


def recorded(config: Any) -> dict[str, Any]:
    """What a configuration says of its calibration; empty where it says nothing."""
    found = getattr(config, RECORD, None)
    return dict(found) if isinstance(found, Mapping) and ("temperature" in found or "scale" in found) else {}


def scaling_left(config: Any) -> Scaling:
    """What the model's logits must still go through: nothing where none is recorded or it is in the weights.

    Raises:
        UserError: for a record that is no temperature above 0 and no vector scaling.
    """
    record = recorded(config)
    return NONE if record.get("folded", True) else Scaling.read(record) or NONE


def forget(config: Any) -> None:
    """Remove the record: training goes on from the weights as they are, and the old temperature is not theirs."""
    if recorded(config):
        delattr(config, RECORD)


def _why_not(model: nn.Module, heads: tuple[nn.Module, ...], scaling: Scaling) -> str:
    """Why this may not be folded into these layers, in words after a colon; "" where it may."""
    if not heads:
        return f"{type(model).__name__} has no last linear layer that gives its logits"
    kind = type(heads[0]).__name__
    parameters = [parameter for head in heads for parameter in head.parameters()]
    if any(hasattr(head, "base_layer") for head in heads):
        return f"its last layer is changed by an adapter ({kind}); merge the adapter into the model first"
    plain = all(isinstance(head, _PLAIN) and not hasattr(head, "parametrizations") for head in heads)
    if not plain or any(type(parameter) is not nn.Parameter for parameter in parameters):
        return f"its last layer is {kind}, no plain linear one (quantised?)"
    if any(parameter.dtype not in _EXACT for parameter in parameters):
        kinds = ", ".join(sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters}))
        return f'its last layer is in {kinds}, where W/T would be rounded (load it with dtype="float32")'
    if scaling.shift is not None and any(getattr(head, "bias", None) is None for head in heads):
        return "its last layer has no bias, which the shift of each class would go into"
    own, inside = {id(one) for one in parameters}, {id(head) for head in heads}
    for name, module in model.named_modules():
        if id(module) not in inside and any(id(one) in own for one in module._parameters.values()):
            return f"its last layer shares its weights with {name or type(model).__name__}"
    return ""


def _put(model: Any, heads: tuple[nn.Module, ...], scaling: Scaling, batch: Mapping[str, Tensor] | None) -> str:
    """Fold, and see that the logits are what they should be; else undo it and say why."""
    originals = [parameter.detach().clone() for head in heads for parameter in head.parameters()]
    given = batch if batch is not None else _example(model)
    try:
        before = _logits(model, given)
    except Exception as problem:  # a model that cannot be asked keeps its temperature in config.json
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        return f"the model could not be tried ({reason})"
    _change(heads, scaling)
    wanted, got = scaling.apply(before), _logits(model, given)
    tolerance = 1e-4 * float(wanted.abs().max().clamp(min=1e-6))
    if bool(((got - wanted).abs() <= tolerance).all()):
        return ""
    with torch.no_grad():
        for parameter, old in zip((one for head in heads for one in head.parameters()), originals, strict=True):
            parameter.copy_(old)
    return f"the logits of {type(model).__name__} are not those of its last linear layer"


@torch.no_grad()
def _change(heads: tuple[nn.Module, ...], scaling: Scaling) -> None:
    """Weights and biases whose logits are scaled, in double precision so that they are rounded once."""
    for head in heads:
        for name, parameter in head.named_parameters(recurse=False):
            value = exact(parameter)
            if scaling.scale is None or scaling.shift is None:
                value = value * (1 / scaling.temperature)
            else:
                value = value * value.new_tensor(scaling.scale).reshape(-1, *[1] * (value.ndim - 1))
                value = value + value.new_tensor(scaling.shift) if name == "bias" else value
            parameter.copy_(value.to(parameter.dtype))


@torch.no_grad()
def _logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    training = model.training
    model.eval()
    try:
        return exact(logits_of(model(**batch)))
    finally:
        model.train(training)


def _example(model: Any) -> dict[str, Tensor]:
    """Inputs of noise that a text or an image classifier takes."""
    config, name = model.config, getattr(model, "main_input_name", "input_ids")
    device, draw = next(model.parameters()).device, torch.Generator().manual_seed(0)
    if name == "pixel_values":
        size = getattr(config, "image_size", None) or 224
        height, width = size if isinstance(size, list | tuple) else (size, size)
        shape = (2, getattr(config, "num_channels", 3), height, width)
        return {name: torch.randn(shape, generator=draw).to(device)}
    ids = torch.randint(0, config.get_text_config().vocab_size, (2, 8), generator=draw).to(device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
