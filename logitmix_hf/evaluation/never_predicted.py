"""Classes that a model never answers, which averages hide: their recall is 0, and nothing else need look wrong."""

from __future__ import annotations

import numpy as np

from logitmix_hf.errors import listed
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions

MOST = 5
"""Classes that are named; the rest are counted."""


def never_predicted(p: Predictions) -> str:
    """One line that names the classes with rows of which none is answered so, with what answering one thing always would
    reach; "" where there is none, for a regression, and without labels.

    Of several labels a row, a label is said where its probability is above 0.5.
    """
    if p.labels is None or p.problem == REGRESSION or not len(p):
        return ""
    names, classes = p.class_names, p.logits.shape[1]
    if p.problem == MULTI:
        return _never_said(p.probabilities > 0.5, p.labels == 1, names)
    rows = np.bincount(p.labels.astype(np.int64), minlength=classes)
    answered = np.bincount(p.predictions, minlength=classes)
    missing = np.flatnonzero((rows > 0) & (answered == 0))
    if not len(missing):
        return ""
    largest, accuracy = int(rows.argmax()), float((p.predictions == p.labels).mean())
    return (
        f"Never predicted: {_counted(missing, rows, names)}: recall 0. The accuracy is {accuracy:.4f}; always"
        f" answering {listed([names[largest]])}, the largest class, gives {rows[largest] / len(p):.4f}."
    )


def _never_said(said: np.ndarray, true: np.ndarray, names: tuple[str, ...]) -> str:
    rows = true.sum(axis=0)
    missing = np.flatnonzero((rows > 0) & ~said.any(axis=0))
    if not len(missing):
        return ""
    nothing = "" if said.any() else " No label is said of any row, so F1 is 0."
    return (
        f"Never predicted: {_counted(missing, rows, names)}: recall 0.{nothing} {float((said == true).mean()):.4f} of the"
        f" decisions are right; always saying no is right on {1 - float(true.mean()):.4f}."
    )


def _counted(classes: np.ndarray, rows: np.ndarray, names: tuple[str, ...]) -> str:
    """The classes with most rows first."""
    first = sorted(classes.tolist(), key=lambda number: (-rows[number], number))[:MOST]
    told = ", ".join(
        f"{listed([names[number]])} ({rows[number]} row{'' if rows[number] == 1 else 's'})" for number in first
    )
    return told + (f" and {len(classes) - MOST} more" if len(classes) > MOST else "")
