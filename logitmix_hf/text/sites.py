"""Where a text model may mix: found in a model by its structure and never by its family's name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import nn

from logitmix_hf.errors import UserError
from logitmix_hf.models.heads import find_heads


@dataclass(frozen=True)
class TextSites:
    """The places of one model.

    Attributes:
        layers: the distinct layer modules in order of their first use.
        depth: N, how many layers a forward pass runs (more than ``len(layers)`` where layers are shared, as in ALBERT).
        siblings: modules beside the stack that may see hidden states before a layer does (DeBERTa-v2's convolution).
        end: the module whose output is the last hidden state; None where that is the last layer.
        heads: the last linear layer; several where an adapter keeps copies, of which one is called.
        dropouts: dropout modules outside the stack: the one right before the head is run again for mixed rows.
        causal: a decoder, whose last token stands for the sentence.
    """

    layers: tuple[nn.Module, ...]
    depth: int
    siblings: tuple[nn.Module, ...]
    end: nn.Module | None
    heads: tuple[nn.Module, ...]
    dropouts: tuple[nn.Module, ...]
    causal: bool

    @property
    def shared(self) -> bool:
        """Whether one module serves several layers, so that only counting calls tells them apart."""
        return self.depth != len(self.layers)


def find_sites(model: Any) -> TextSites:
    """Find stack, head and pooling of an HF sequence classifier.

    Raises:
        UserError: when there is no single stack of attention layers or no final linear layer: what was looked for
            and which modules exist.
    """
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"{type(model).__name__} has an encoder and a decoder; mixing needs one stack of layers:"
            " take an encoder such as BERT, RoBERTa, DeBERTa-v2 or ModernBERT."
        )
    backbone: nn.Module = model.base_model  # type: ignore[assignment]
    parent, stack = _find_stack(backbone)
    layers = tuple(stack)
    depth = int(getattr(config, "num_hidden_layers", len(layers)))
    if len(layers) > depth or not layers:
        depth = len(layers)
    inside = {id(module) for layer in layers for module in layer.modules()}
    # What holds the stack may normalise after it (ModernBERT, ESM): its output is the last hidden state. A backbone that
    # holds the stack itself and pools too is left before that: there the last layer's output has to do.
    end = parent if parent is not backbone or not hasattr(backbone, "pooler") else None
    return TextSites(
        layers=layers,
        depth=depth,
        siblings=tuple(child for child in parent.children() if child is not stack) if parent is not backbone else (),
        end=end,
        heads=_find_heads(model, backbone),
        dropouts=tuple(
            module for module in model.modules() if "Dropout" in type(module).__name__ and id(module) not in inside
        ),
        causal=any(getattr(module, "is_causal", False) is True for module in layers[0].modules()),
    )


def _find_stack(backbone: nn.Module) -> tuple[nn.Module, nn.ModuleList]:
    """The only list of equal attention layers that does not lie within another, and the module that holds it."""
    found: list[tuple[nn.Module, nn.ModuleList]] = []
    within: set[int] = set()
    for parent in backbone.modules():
        if id(parent) in within:
            continue
        for child in parent.children():
            if isinstance(child, nn.ModuleList) and _is_stack(child):
                found.append((parent, child))
                within.update(id(module) for module in child.modules())
    if len(found) == 1:
        return found[0]
    kinds = Counter(type(module).__name__ for module in backbone.modules())
    class_names = ", ".join(f"{name} x{count}" if count > 1 else name for name, count in kinds.most_common(12))
    raise UserError(
        f"{type(backbone).__name__} has {len(found) or 'no'} lists of equal layers with attention and a feed-forward part;"
        f" mixing inside the network needs exactly one. Modules that exist: {class_names}."
    )


def _is_stack(modules: nn.ModuleList) -> bool:
    kinds = {type(module) for module in modules}
    if len(kinds) != 1 or kinds == {nn.ModuleList}:
        return False
    layer = modules[0]
    attention = {
        id(part)
        for name, module in layer.named_modules()
        if name and "attention" in type(module).__name__.lower()
        for part in module.modules()
    }
    return bool(attention) and any(list(m.parameters(recurse=False)) for m in layer.modules() if id(m) not in attention)


def _find_heads(model: Any, backbone: nn.Module) -> tuple[nn.Module, ...]:
    heads = find_heads(model, copies=True)
    if not heads:
        names = ", ".join(name for name, _ in model.named_children())
        raise UserError(
            f"{type(model).__name__} has no final linear layer with {model.config.num_labels} outputs outside"
            f" {type(backbone).__name__}; parts that exist: {names}. Load it with AutoModelForSequenceClassification."
        )
    return tuple(heads.values())
