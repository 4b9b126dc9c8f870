"""Numbers of JSON files, which may be anything, and how tables show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any


def finite(value: Any) -> float | None:
    """A number as Python's float, numpy's too; None for what is none, is not finite or is too large to reckon with."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # of a whole number of hundreds of digits
        return None


def curve_of(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of what a training logged under a key, where both are finite."""
    points = [(finite(entry.get("step")), finite(entry.get(key))) for entry in history]
    known = [(step, value) for step, value in points if step is not None and value is not None]
    return [step for step, _ in known], [value for _, value in known]


def finite_cells(results: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """The scores of these keys as cells; empty unless every one is there and finite."""
    values = [finite(results.get(key)) for key in keys]
    return () if None in values else tuple(f"{value:.4f}" for value in values)


def pair(value: Any) -> tuple[float, float] | None:
    """Two finite numbers, or None."""
    ends = [finite(end) for end in value] if isinstance(value, (list, tuple)) else []
    return (ends[0], ends[1]) if len(ends) == 2 and None not in ends else None  # type: ignore[return-value]


def count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def number(value: float) -> str:
    """A score as tables show it; what rounds to 0 has no sign."""
    text = f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text


def bracketed(interval: tuple[float, float] | None) -> str:
    """An interval as tables show it."""
    return "" if interval is None else f"[{number(interval[0])}, {number(interval[1])}]"
