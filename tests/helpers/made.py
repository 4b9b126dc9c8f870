"""Predictions of every problem, made for tests of intervals."""

from __future__ import annotations

import numpy as np

from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE, Predictions

CASES = {
    "two classes": (SINGLE, 2, ("accuracy", "f1", "f1_macro", "f1_micro", "matthews_correlation", "top5_accuracy")),
    "seven classes": (SINGLE, 7, ("accuracy", "f1_macro", "f1_micro", "matthews_correlation", "top5_accuracy")),
    "several labels": (MULTI, 3, ("f1_micro", "f1_macro", "subset_accuracy")),
    "regression": (REGRESSION, 1, ("pearson", "spearmanr", "mse", "mae")),
}


SIGNED = {"confidence_gap", "brier_resolution", "pearson", "spearmanr", "matthews_correlation"}


def make(problem=SINGLE, classes=2, rows=200, seed=0, posterior=False):
    """Rounded, so that confidences, ranks and logits have ties."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).round(1) * 2
    labels = {
        SINGLE: lambda: rng.integers(classes, size=rows),
        MULTI: lambda: rng.integers(2, size=(rows, classes)),
        REGRESSION: lambda: (logits[:, 0] + rng.normal(size=rows)).round(1),
    }[problem]()
    q = {SINGLE: lambda: rng.dirichlet(np.ones(classes), rows), MULTI: lambda: rng.random((rows, classes))}
    return Predictions(logits, labels, problem=problem, posterior=q[problem]() if posterior else None)


def taken(p, rows):
    posterior = None if p.posterior is None else p.posterior[rows]
    return Predictions(p.logits[rows], p.labels[rows], problem=p.problem, posterior=posterior)


def sure_of(truth, seed=7, shift=0.0):
    """Two-class predictions with the confidences (N,) truth + shift, right with the probability truth."""
    rng = np.random.default_rng(seed)
    z = np.log((truth + shift) / (1 - truth - shift))
    return Predictions(np.stack([0 * z, z], axis=1), (rng.random(len(z)) < truth).astype(int))
