"""Which calibrator rows speak for: the temperature, or vector scaling where it wins on rows that it was not fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.evaluation.calibration import nll
from logitmix_hf.evaluation.recalibration import VectorScaling, fit_vector_scaling
from logitmix_hf.evaluation.scaling import TEMPERATURE, VECTOR, Scaling
from logitmix_hf.evaluation.temperature import HalfTemperatures, Temperature, fit_halves, fit_temperature, second_half

AUTO = "auto"
CALIBRATORS = {
    TEMPERATURE: "one number for all classes",
    VECTOR: "a scale and a shift for each class",
    AUTO: "the one of both with the lower NLL, cross-validated on the rows that it is fitted on",
}
PARTS = 5
"""Of the cross-validation."""
FEWEST = 50
"""Rows below which nothing is cross-validated, and the temperature is taken."""
FEW = 10
"""Rows of a class below which its scale and shift are told to be hardly known."""


@dataclass(frozen=True, eq=False)
class HalfVectors:
    """Two vector scalings, each fitted on one half of the rows and meant for the other; ``half`` and ``seed`` as of
    :class:`~logitmix_hf.evaluation.temperature.HalfTemperatures`."""

    first: VectorScaling
    second: VectorScaling
    half: np.ndarray
    seed: int

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """(N, C) logits of all the rows, in their order, each scaled by what never saw it."""
        return np.where(self.half[:, None], self.first.apply(logits), self.second.apply(logits)).astype(logits.dtype)

    @property
    def scaling(self) -> Scaling:
        """The mean of the two."""
        one, two = self.first, self.second
        return Scaling(scale=(one.scale + two.scale) / 2, shift=(one.shift + two.shift) / 2)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A fitted calibrator, and why it is this one.

    fitted: what :attr:`scaling` is taken from; by halves two.
    name:   "temperature" or "vector".
    nll:    cross-validated mean negative log-likelihood by name, where both were asked; else empty.
    notes:  in a line each, what speaks against it.
    """

    fitted: Temperature | HalfTemperatures | VectorScaling | HalfVectors
    name: str
    nll: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def halves(self) -> bool:
        return isinstance(self.fitted, HalfTemperatures | HalfVectors)

    @property
    def scaling(self) -> Scaling:
        """What goes into the model; by halves the mean of both."""
        found = self.fitted
        return Scaling(found.value) if isinstance(found, Temperature | HalfTemperatures) else found.scaling


def fit_calibrator(
    logits: ArrayLike, labels: ArrayLike, name: str = TEMPERATURE, *, halves: bool = False, seed: int = 31
) -> Chosen:
    """Fit the calibrator ``name`` of :data:`CALIBRATORS`.

    Vector scaling is refused, with a note, where the best temperature is at the lower bound: rows that are all right want
    every answer to be certain, whatever the calibrator. By halves ``auto`` takes it only where it wins on either half.

    Args:
        logits, labels: as :func:`fit_temperature`.
        halves: each half of the rows is meant to be judged by what the other half fits.
        seed: of the halves, and of the parts of the cross-validation.

    Raises:
        UserError: as :func:`fit_temperature`.
    """
    z, y = np.asarray(logits), np.asarray(labels)
    one = fit_halves(z, y, seed) if halves else fit_temperature(z, y)
    notes = [one.warning] if one.warning else []
    if name == TEMPERATURE:
        return Chosen(one, TEMPERATURE, {}, tuple(notes))
    if one.bound == "lower":
        return Chosen(one, TEMPERATURE, {}, (*notes, "So vector scaling is not fitted on these rows either."))
    parts = [~second_half(len(z), seed), second_half(len(z), seed)] if halves else [np.ones(len(z), dtype=bool)]
    found: dict[str, float] = {}
    if name == AUTO:
        if min(part.sum() for part in parts) < FEWEST:
            note = f"Fewer than {FEWEST} rows are too few to choose a calibrator by: the temperature is taken."
            return Chosen(one, TEMPERATURE, {}, (*notes, note))
        each = [cross_validated(z[part], y[part], seed) for part in parts]
        found = {key: float(np.mean([values[key] for values in each])) for key in each[0]}
        if any(values[VECTOR] >= values[TEMPERATURE] for values in each):
            return Chosen(one, TEMPERATURE, found, tuple(notes))
    notes += _few(y)
    vectors = [fit_vector_scaling(z[part], y[part]) for part in parts]
    fitted = HalfVectors(vectors[0], vectors[1], parts[1], seed) if halves else vectors[0]
    return Chosen(fitted, VECTOR, found, tuple(notes))


def cross_validated(logits: np.ndarray, labels: np.ndarray, seed: int = 31) -> dict[str, float]:
    """NLL of rows in :data:`PARTS` parts, stratified by label, each judged by what the other parts fit; by name."""
    from sklearn.model_selection import KFold, StratifiedKFold

    fits: dict[str, Callable] = {TEMPERATURE: fit_temperature, VECTOR: fit_vector_scaling}
    several = labels.ndim == 2
    split = (KFold if several else StratifiedKFold)(PARTS, shuffle=True, random_state=seed)
    made = {name: np.empty((len(logits), logits.shape[1])) for name in fits}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer rows than parts is missing in some
        if not several and np.bincount(labels).max() < PARTS:
            split = KFold(PARTS, shuffle=True, random_state=seed)
        for rest, part in split.split(logits, labels):
            for name, fit in fits.items():
                made[name][part] = fit(logits[rest], labels[rest]).apply(logits[part].astype(np.float64))
    return {name: nll(values, labels) for name, values in made.items()}


def _few(labels: np.ndarray) -> list[str]:
    """A line where classes have few rows."""
    if labels.ndim == 2:
        counts = np.minimum(labels.sum(axis=0), len(labels) - labels.sum(axis=0))
    else:
        counts = np.bincount(labels.astype(np.int64))
    few = int((counts < FEW).sum())
    if not few:
        return []
    return [
        f"{few} of {len(counts)} classes have fewer than {FEW} of the rows that vector scaling is fitted on: their scale and"
        " shift stay near the temperature's, and are hardly known."
    ]
