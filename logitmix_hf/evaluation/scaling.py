"""What a calibration by a temperature or by vector scaling does to logits: z / T, or z * scale + shift class by class.

The one form that is folded into weights, kept in ``config.json`` and in results, undone, and put after another.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, check_number

TEMPERATURE, VECTOR = "temperature", "vector"


@dataclass(frozen=True, eq=False)
class Scaling:
    """logits / temperature, or with ``scale`` and ``shift``, both (C,) float64, logits * scale + shift.

    Raises:
        UserError: for a temperature, or the scale of a class, that is no number above 0, and a shift that is not finite.
    """

    temperature: float = 1.0
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, low=0, open_low=True)
        if self.scale is None or self.shift is None:
            return
        scale, shift = np.asarray(self.scale, dtype=np.float64), np.asarray(self.shift, dtype=np.float64)
        fits = scale.ndim == 1 and scale.shape == shift.shape and self.temperature == 1
        if not fits or not np.isfinite([scale, shift]).all() or (scale <= 0).any():
            raise UserError(
                f"Vector scaling needs a scale above 0 and a finite shift for each class, got {self.scale} and {self.shift}."
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "shift", shift)

    @property
    def name(self) -> str:
        """The calibrator: ``"temperature"`` or ``"vector"``."""
        return TEMPERATURE if self.scale is None else VECTOR

    @property
    def told(self) -> str:
        """In a line: what it is."""
        return (
            f"temperature {self.temperature:.4g}"
            if self.scale is None
            else f"vector scaling of {len(self.scale)} classes"
        )

    @property
    def changes_nothing(self) -> bool:
        return self.scale is None and self.temperature == 1

    def apply(self, logits: Any) -> Any:
        """Logits of the shape (…, C), an array or a tensor, calibrated; in their own type."""
        if self.scale is None:
            return logits if self.temperature == 1 else logits / self.temperature
        if isinstance(logits, np.ndarray):
            return (logits * self.scale + self.shift).astype(logits.dtype)
        return logits * logits.new_tensor(self.scale) + logits.new_tensor(self.shift)

    def undone(self) -> Scaling:
        """What gives the logits back."""
        if self.scale is None or self.shift is None:
            return Scaling(1 / self.temperature)
        return Scaling(scale=1 / self.scale, shift=-self.shift / self.scale)

    def after(self, first: Scaling) -> Scaling:
        """One scaling for both, ``first`` and then this one."""
        if self.scale is None and first.scale is None:
            return Scaling(self.temperature * first.temperature)
        scale, shift = self._vectors(first)
        inner, moved = first._vectors(self)
        return Scaling(scale=inner * scale, shift=moved * scale + shift)

    def _vectors(self, other: Scaling) -> tuple[np.ndarray, np.ndarray]:
        if self.scale is not None and self.shift is not None:
            return self.scale, self.shift
        classes = np.ones_like(other.scale)
        return classes / self.temperature, 0 * classes

    def record(self) -> dict[str, Any]:
        """The entries of ``config.json``: ``temperature``, or ``calibrator``, ``scale`` and ``shift``."""
        if self.scale is None or self.shift is None:
            return {"temperature": float(self.temperature)}
        return {"calibrator": VECTOR, "scale": self.scale.tolist(), "shift": self.shift.tolist()}

    @classmethod
    def read(cls, record: Mapping[str, Any], place: str = "The model's config.json") -> Scaling | None:
        """What :meth:`record` wrote; None where there is neither.

        Raises:
            UserError: naming ``place``, for entries that are no scaling.
        """
        if "scale" not in record and "temperature" not in record:
            return None
        try:
            if "scale" in record:
                vectors = (np.array(record[name], dtype=np.float64) for name in ("scale", "shift"))
                return cls(1.0, *vectors)
            value = record["temperature"]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
                raise UserError(f"{place} has the temperature {value!r:.40}; it must be a number above 0.")
            return cls(float(value))
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise UserError(
                f"{place} has a vector scaling that cannot be read ({problem}): calibrate again."
            ) from problem


NONE = Scaling()
"""What changes nothing."""


def fitted_scaling(results: Mapping[str, Any]) -> Scaling | None:
    """What a run's ``eval_results.json`` says was fitted, by halves the mean of both; None where nothing was.

    Raises:
        UserError: for entries that are no scaling.
    """
    told = results.get("calibration")
    if isinstance(told, Mapping) and "scale" in told:
        return Scaling.read(told, "eval_results.json")
    return (
        Scaling.read({"temperature": results["temperature"]}, "eval_results.json") if "temperature" in results else None
    )
