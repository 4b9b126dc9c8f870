"""The last linear layer of a classifier, which gives its logits: found by structure, never by a family's name.

One finder for all who need it: a temperature is folded into it, the site ``pooled`` mixes its input, weights of another
number of classes leave it out. What counts as one is a linear layer or a 1x1 convolution with as many outputs as there
are labels, also quantised or with an adapter around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from logitmix_hf.models.unwrap import unwrap


def find_heads(model: nn.Module, *, copies: bool = False) -> dict[str, nn.Module]:
    """The last linear layer by its dotted name in the unwrapped model, and its equals beside it; empty for none.

    Equals have their own place and the same kind and shape: DeiT's two classifiers, the members of a ``ModuleList``.
    Layers that could as well follow each other (in a ``Sequential``, or square ones side by side) are no equals: then the
    last one gives the logits.

    Args:
        model: with a configuration that says ``num_labels``; also inside DDP, ``torch.compile`` or PEFT.
        copies: whether to return all copies that an adapter keeps of its head (``modules_to_save``), for hooks that
            outlive a change of the adapter; else that which is in use.
    """
    network: Any = unwrap(model)
    if (own := getattr(network, "own_heads", None)) is not None:
        return own()
    if (together := getattr(network, "ensemble_members", None)) is not None:
        return {
            f"members.{number}.{name}": head
            for number, member in enumerate(together)
            for name, head in find_heads(member, copies=copies).items()
        }
    found = dict(_candidates(network, getattr(getattr(network, "config", None), "num_labels", None), copies))
    backbone = getattr(network, "base_model", network)
    if backbone is not network:  # a layer inside may have the width by chance; timm's wrapper has even the head there
        inside = {id(module) for module in backbone.modules()}
        found = {name: head for name, head in found.items() if id(head) not in inside} or found
    if not found:
        return {}
    last = list(found)[-1]
    return {name: head for name, head in found.items() if _equal(network, name, last, found)}


def _candidates(network: nn.Module, labels: int | None, copies: bool) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules with so many outputs: of an adapted layer the whole, and not the adapter's small matrices."""
    passed: list[str] = []
    for name, module in network.named_modules():
        if labels is None or any(name.startswith(f"{outer}.") or name == outer for outer in passed):
            continue
        if hasattr(module, "modules_to_save"):  # it lends the attributes of the copy in use
            passed += [] if copies else [f"{name}.{copy}" for copy in _at_rest(module)]
            continue
        fits = _outputs(module) == labels
        if fits or hasattr(module, "base_layer"):
            passed.append(name)
        if fits:
            yield name, module


def _at_rest(wrapper: Any) -> list[str]:
    """Which copies of a head PEFT does not use at present."""
    active = wrapper.active_adapter
    active = active if isinstance(active, str) else next(iter(active), None)
    unused = [
        f"modules_to_save.{name}" for name in wrapper.modules_to_save if wrapper.disable_adapters or name != active
    ]
    return unused if len(unused) == len(wrapper.modules_to_save) else [*unused, "original_module"]


def _outputs(module: nn.Module) -> int | None:
    """How many outputs a linear layer or a 1x1 convolution has."""
    if not isinstance(getattr(module, "weight", None), Tensor):
        return None
    kernel = getattr(getattr(module, "base_layer", module), "kernel_size", None)
    if kernel is not None and any(side != 1 for side in kernel):
        return None
    for name in ("out_features", "out_channels", "nf"):  # nf: transformers' Conv1D
        if isinstance(width := getattr(module, name, None), int):
            return width
    return None


def _equal(network: nn.Module, name: str, last: str, found: dict[str, nn.Module]) -> bool:
    """Whether this layer stands where the last one does: the same path but for one step."""
    own, other = _path(name), _path(last)
    if own == other:
        return True  # itself, or a copy of it
    one, two = found[name], found[last]
    shape = tuple(two.weight.shape)  # type: ignore[union-attr]
    if len(own) != len(other) or type(one) is not type(two) or tuple(one.weight.shape) != shape:  # type: ignore[union-attr]
        return False
    steps = [number for number, pair in enumerate(zip(own, other, strict=True)) if pair[0] != pair[1]]
    if len(steps) > 1:
        return False
    parent = network.get_submodule(".".join(own[: steps[0]]))
    if isinstance(parent, nn.ModuleList):
        return steps[0] == len(own) - 1  # not one of every block
    return not isinstance(parent, nn.Sequential) and shape[0] != shape[1]


def _path(name: str) -> list[str]:
    """The steps of a name, without those into an adapter's copies."""
    steps = iter(name.split("."))
    path = []
    for step in steps:
        if step == "modules_to_save":
            next(steps, None)
        elif step != "original_module":
            path.append(step)
    return path
