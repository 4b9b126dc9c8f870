"""Doubled batches, or longer ones where the plan makes several rows of one: cutting what modules are handed,
and changing the hidden states in what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def first_half(value: Any, rows: int, length: int, times: int = 1) -> Any:
    """``value`` with every tensor of (1 + times) B rows in it cut to the clean rows, the first B."""
    return _cut(value, rows, length, rows * (1 + times), 0, rows)


def second_half(value: Any, rows: int, length: int, times: int = 1) -> Any:
    """``value`` with every such tensor cut to the mixed rows, all that follow."""
    return _cut(value, rows, length, rows * (1 + times), rows, rows * times)


def _cut(value: Any, rows: int, length: int, whole: int, begin: int, count: int) -> Any:
    if isinstance(value, Tensor):
        # (2B, S) masks and everything larger; a table of relative positions (positions, H) is no batch.
        batched = value.ndim >= 3 or (value.ndim == 2 and value.shape[1] == length)
        # By narrow: of a slice object torch.compile makes numbers, and a graph for each.
        return value.narrow(0, begin, count) if batched and value.shape[0] == whole else value
    if isinstance(value, tuple):
        return tuple(_cut(part, rows, length, whole, begin, count) for part in value)
    if isinstance(value, dict):
        return {name: _cut(part, rows, length, whole, begin, count) for name, part in value.items()}
    return value


def put_hidden(args: tuple[Any, ...], kwargs: dict[str, Any], hidden: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's arguments with other hidden states, which come first or by name."""
    return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})


def replace_hidden(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change the hidden states in what a module returned: a tensor, a tuple, or a ModelOutput."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        return (change(output[0]), *output[1:])
    last = output["last_hidden_state"]
    output["last_hidden_state"] = change(last)
    every = output.get("hidden_states")
    if every is not None and every[-1] is last:  # DeBERTa reads the last of all
        output["hidden_states"] = (*every[:-1], output["last_hidden_state"])
    return output
