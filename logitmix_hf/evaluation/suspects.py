"""Rows whose label the model contradicts: a wrong label, or a row that nobody would get right."""

from __future__ import annotations

import importlib.util
import warnings
from importlib.metadata import version

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import one_line
from logitmix_hf.evaluation.decisions import class_numbers, require_probabilities

PLAIN = "confident learning by its plain rule"


def find_suspects(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, str]:
    """As :func:`suspect_rows`, by cleanlab's rule where that is installed (extra ``suspects``), and by which.

    cleanlab prunes by the rate of noise between each two classes, and so finds more than the plain rule, which is its
    ``filter_by="confident_learning"``. Where it fails, the plain rule is taken: a training has ended by then.
    """
    if importlib.util.find_spec("cleanlab") is None:
        return suspect_rows(probabilities, labels), f"{PLAIN}; cleanlab is not installed"
    p = require_probabilities("probabilities", probabilities)
    y = class_numbers(np.asarray(labels), p.shape[1])
    try:
        from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]

        with warnings.catch_warnings():  # of classes with few rows, of which it finds less
            warnings.simplefilter("ignore")
            found = find_label_issues(y, p, return_indices_ranked_by="self_confidence", n_jobs=1)
    except Exception as problem:  # of any kind: a library that is built for another numpy, a class of one row
        return suspect_rows(p, y), f"{PLAIN}; cleanlab fails: {one_line(problem)}"
    return np.asarray(found, np.int64), f"cleanlab {version('cleanlab')}"


def suspect_rows(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Row numbers of suspect labels, the most contradicted first; (K,) int64, K at most N.

    Confident learning (Northcutt, Jiang and Chuang, 2021, arXiv:1911.00068, section 3.1): a class is claimed with
    confidence where its probability reaches the mean probability that the rows of that class give to it. A row is suspect
    where it claims another class so, and of all that it claims the likeliest is not its label. The order is by
    self-confidence, the probability of the label, lowest first.

    Args:
        probabilities: (N, C), of a model that was not trained on these rows, or out of fold: a model believes the labels
            that it learnt.
        labels: (N,) int in [0, C). A class without rows has no threshold, and is never claimed.

    Raises:
        UserError: for values or shapes that do not fit.
    """
    p = require_probabilities("probabilities", probabilities)
    y = class_numbers(np.asarray(labels), p.shape[1])
    own = p[np.arange(len(p)), y]
    rows = np.bincount(y, minlength=p.shape[1])
    mean = np.bincount(y, weights=own, minlength=p.shape[1]) / np.maximum(rows, 1)
    claimed = np.where((rows > 0) & (p >= mean - 1e-12), p, -1.0)
    likeliest = claimed.argmax(axis=1)
    suspect = np.flatnonzero((claimed.max(axis=1) >= 0) & (likeliest != y))
    return suspect[np.argsort(own[suspect], kind="stable")]
