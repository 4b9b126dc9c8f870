"""Temperature scaling: one number that divides all logits, fitted on rows that neither trained nor judge the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.evaluation.decisions import decisions

Logits = TypeVar("Logits")

LOWEST, HIGHEST = 0.01, 100.0
"""Where the temperature is looked for."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature T: logits / T are calibrated as well as one number can, and every argmax is unchanged.

    value:      T in [0.01, 100]; above 1 the model was over-confident, below 1 under-confident.
    nll_before: mean negative log-likelihood of the fitted rows at T = 1.
    nll_after:  the same at T; never above nll_before.
    bound:      "" or, where the best T lies at or beyond the end of the range, "lower" or "upper".
    """

    value: float
    nll_before: float
    nll_after: float
    bound: str = ""

    def apply(self, logits: Logits) -> Logits:
        """The logits divided by T; an array or a tensor of any shape."""
        return logits / self.value  # type: ignore[operator]

    @property
    def warning(self) -> str:
        """One line when T ran into a bound and should not be trusted, else an empty string."""
        if not self.bound:
            return ""
        why = {
            "lower": "more confidence is always better on the fitted rows (are all of them classified right?)",
            "upper": "less confidence is always better on the fitted rows (do the logits say nothing of the labels?)",
        }[self.bound]
        return f"The temperature ran into its {self.bound} bound {self.value:g}: {why}; fit it on more rows."


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """The T that minimises the negative log-likelihood of ``labels`` under softmax(logits / T).

    Guo et al. (2017, arXiv:1706.04599). The likelihood is convex in 1/T, so a bounded search over log T in float64
    finds the one minimum; T = 1 is kept unless another value is better.

    Args:
        logits: (N, C); (N,) or (N, 1) for a binary model with one output.
        labels: (N,) int in [0, C); or (N, C) of 0/1 for multi-label, where one T serves all N * C decisions.

    Raises:
        UserError: for no rows, shapes that do not fit, NaN or infinite logits, a label that is no class.
    """
    from scipy.optimize import minimize_scalar

    z, y = decisions(logits, labels)
    margins = z - z[np.arange(len(z)), y][:, None]  # (N, C), 0 at the label: -log p = logsumexp(margins / T)

    def loss(log_t: float) -> float:
        scaled = margins / math.exp(log_t)
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))))

    low, high = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10, "maxiter": 500})
    # The search never tries the ends themselves. Equals are settled in this order: stay at 1, name a bound, the rest.
    tried = [(0.0, ""), (low, "lower"), (high, "upper"), (float(found.x), "")]
    losses = [loss(log_t) for log_t, _ in tried]
    best = int(np.argmin(losses))
    value = {"lower": LOWEST, "upper": HIGHEST}.get(tried[best][1], math.exp(tried[best][0]))
    return Temperature(value, losses[0], losses[best], tried[best][1])
