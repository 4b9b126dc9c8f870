"""A set of classes instead of one: as many as it takes to hold the right one with a probability asked for (split conformal).

Sadinle, Lei and Wasserman (2019, "least ambiguous set-valued classifiers"; also called LAC). The score of a class is -log of
its probability *before* any calibration: a temperature or a vector scaling fitted on the same rows would know them, and
the guarantee asks for scores that do not. A class is in the set where its score is at most the ⌈(n + 1) level⌉-th smallest
score of the true classes of n rows that neither trained nor chose the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.evaluation.decisions import log_softmax
from logitmix_hf.evaluation.predictions import SINGLE, Predictions
from logitmix_hf.evaluation.scaling import NONE, Scaling

LEVELS = tuple(hundredths / 100 for hundredths in range(50, 100))
"""The coverages that are kept; what is asked for between two of them is rounded up."""
REPORTED = 0.9
_ROUNDING = 1e-5  # of a score, by single precision and a temperature that is taken out again


@dataclass(frozen=True)
class Sets:
    """What a model needs to give sets.

    rows:      n, that the scores are of.
    quantiles: the largest score that is let in, for each of :data:`LEVELS`, as many as n rows allow.
    before:    what the model's logits went through after the scores; taken out again.
    """

    rows: int
    quantiles: tuple[float, ...]
    before: Scaling = NONE

    def limit(self, level: float) -> float:
        """The largest score that is in the set.

        Raises:
            UserError: for a level that is out of range, or asks for more rows.
        """
        check_number("coverage", level, low=0, high=1, open_low=True)
        place = max(0, math.ceil(round(100 * level, 6)) - 50)
        if place < len(self.quantiles):
            return self.quantiles[place]
        if not self.quantiles or place >= len(LEVELS):
            raise UserError(
                f"--coverage {level:g} cannot be given: from {LEVELS[0]:g} to {LEVELS[-1]:g}"
                + ("." if self.quantiles else f", of at least one row; this model kept {self.rows}.")
            )
        needed = math.ceil(round(LEVELS[place] / (1 - LEVELS[place]), 6))
        raise UserError(
            f"--coverage {level:g} needs at least {needed} calibration rows, and this model kept {self.rows}: ask for at most"
            f" {LEVELS[len(self.quantiles) - 1]:g}, or calibrate on more rows."
        )

    def members(self, logits: np.ndarray, level: float) -> np.ndarray:
        """(N, C) bool, which classes are in the set of each row; logits (N, C) as the model gives them, calibrated. A set may
        be empty: no class is likely enough to be the right one."""
        raw = self.before.undone().apply(np.asarray(logits, dtype=np.float64))
        return -log_softmax(raw) <= self.limit(level) + _ROUNDING

    def record(self) -> dict[str, Any]:
        """What ``config.json`` says of it."""
        return {
            "rows": self.rows,
            "quantiles": [float(f"{value:.7g}") for value in self.quantiles],
            **self.before.record(),
        }

    @classmethod
    def read(cls, record: Any) -> Sets | None:
        """What :meth:`record` wrote; None for nothing.

        Raises:
            UserError: for what cannot be read.
        """
        if not isinstance(record, Mapping):
            return None
        try:
            quantiles = tuple(float(value) for value in record["quantiles"])
            return cls(int(record["rows"]), quantiles, Scaling.read(record) or NONE)
        except (KeyError, TypeError, ValueError) as problem:
            raise UserError(
                f"config.json has a coverage that cannot be read ({problem}): calibrate the model again."
            ) from None


def fit_sets(p: Predictions, before: Scaling = NONE) -> Sets | None:
    """From labelled rows that neither trained nor chose the model, their logits before any calibration; None where rows have
    no one class.

    Args:
        before: the calibration that the model will have.
    """
    if p.problem != SINGLE or p.labels is None:
        return None
    scores = np.sort(-log_softmax(p.logits)[np.arange(len(p)), p.labels])
    places = [math.ceil(round((len(p) + 1) * level, 6)) for level in LEVELS]
    return Sets(len(p), tuple(float(scores[place - 1]) for place in places if place <= len(p)), before)


def judge_sets(inside: np.ndarray, labels: np.ndarray, label_names: tuple[str, ...]) -> dict[str, Any]:
    """Share of sets that hold the right class, mean size, and share of empty ones; by class of the label rows, coverage and
    size.

    Args:
        inside: (N, C) bool. labels: (N,) int.
    """
    right, size = inside[np.arange(len(labels)), labels], inside.sum(axis=1)
    names = label_names or tuple(str(number) for number in range(inside.shape[1]))
    by_class = {
        name: {
            "rows": int(own.sum()),
            "coverage": float(right[own].mean()) if own.any() else None,
            "size": float(size[own].mean()) if own.any() else None,
        }
        for name, own in ((name, labels == number) for number, name in enumerate(names))
    }
    return {
        "coverage": float(right.mean()),
        "size": float(size.mean()),
        "empty": float((size == 0).mean()),
        "classes": by_class,
    }
