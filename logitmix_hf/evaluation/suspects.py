"""Rows whose label the model contradicts: a wrong label, or a row that nobody would get right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.evaluation.decisions import class_numbers, require_probabilities


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
