"""What the values of a flag are searched in: read from a study file, tried out before anything starts, drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from logitmix_hf.errors import UserError, check_number, nearest

KINDS = ("log", "uniform", "int")
DIGITS = 4
"""Of a drawn number: what stands in a command line is what was trained with."""


class Suggests(Protocol):
    """What is asked of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = ...) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, /) -> int: ...


@dataclass(frozen=True)
class Space:
    """``kind``: ``choice`` of ``values``; or from the first of two values to the second: ``log``, ``uniform``, ``int``."""

    kind: str
    values: tuple[Any, ...]

    def drawn(self, trial: Suggests, name: str) -> Any:
        """The trial's value. A value that is a list is chosen by its place: Optuna keeps words and numbers alone."""
        if self.kind == "choice":
            return self.values[trial.suggest_categorical(name, list(range(len(self.values))))]
        low, high = self.values
        if self.kind == "int":
            return trial.suggest_int(name, low, high)
        value = float(f"{trial.suggest_float(name, low, high, log=self.kind == 'log'):.{DIGITS}g}")
        return min(max(value, low), high)

    @property
    def told(self) -> str:
        """In words."""
        if self.kind == "choice":
            return ", ".join(str(value) for value in self.values)
        ends = "{:g} to {:g}".format(*self.values)
        return ends if self.kind == "uniform" else f"{ends} ({self.kind})"


def read_space(name: str, value: Mapping[Any, Any]) -> Space:
    """``{log: [low, high]}`` and the like, of the flag ``name``.

    Raises:
        UserError: it is none of :data:`KINDS`, or no range.
    """
    if len(value) != 1 or (kind := next(iter(value))) not in KINDS:
        asked = next((key for key in value if key not in KINDS), None)
        raise UserError(
            f"search: {name} takes a list of values, or one of {', '.join(f'{{{kind}: [low, high]}}' for kind in KINDS)}, got"
            f" {dict(value)!r}.{nearest(str(asked), KINDS)}"
        )
    ends = value[kind]
    if not isinstance(ends, list) or len(ends) != 2:
        raise UserError(f"search: {name}: {kind} takes [low, high], got {ends!r}.")
    low, high = (_number(end) for end in ends)
    for end in (low, high):
        check_number(f"search: {name}: {kind}", end, **({"low": 0, "open_low": True} if kind == "log" else {}))
        if kind == "int" and not isinstance(end, int):
            raise UserError(f"search: {name}: int takes whole numbers, got {end!r}.")
    if not low < high:
        raise UserError(f"search: {name}: {kind} takes [low, high], low below high, got {ends!r}.")
    return Space(kind, (low, high))


def _number(value: Any) -> Any:
    """YAML takes 1e-5 for a word: it wants a point before the e."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
