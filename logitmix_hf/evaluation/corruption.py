"""Accuracy, likelihood and calibration on corrupted images: by corruption and severity, and of all images together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.binning import bin_confidences
from logitmix_hf.evaluation.calibration import ece
from logitmix_hf.evaluation.decisions import log_softmax
from logitmix_hf.evaluation.predictions import SINGLE, Predictions

PREFIX = "corrupted_"
"""What the keys of these scores begin with."""
SCORES = ("accuracy", "nll", "ece")


@dataclass(frozen=True)
class Outcome:
    """What is kept of predictions: of each row the confidence, whether it was right, and minus its log-likelihood in nats."""

    confidence: np.ndarray
    correct: np.ndarray
    surprise: np.ndarray

    @classmethod
    def of(cls, p: Predictions) -> Outcome:
        """Raises UserError without labels, and for several labels a row."""
        if p.labels is None or p.problem != SINGLE:
            raise UserError("Corrupted images are judged by one label each.")
        logs = log_softmax(p.logits)
        rows = np.arange(len(logs))
        best = logs.argmax(axis=1)
        return cls(p.probabilities.max(axis=1), best == p.labels, -logs[rows, p.labels])

    @classmethod
    def together(cls, parts: Sequence[Outcome]) -> Outcome:
        """All rows as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def scores(self, bins: int = 15) -> dict[str, float]:
        """accuracy, nll and ece."""
        return {
            "accuracy": float(self.correct.mean()),
            "nll": float(self.surprise.mean()),
            "ece": float(ece(bin_confidences(self.confidence, self.correct, bins))),
        }


@dataclass
class CorruptionTable:
    """Outcomes by corruption, each with those of its severities in order.

    usual: the corruptions that a second average is over, where all of them are there and are not all.
    """

    usual: Sequence[str]
    bins: int = 15
    found: dict[str, list[Outcome]] = field(default_factory=dict)

    def add(self, name: str, outcome: Outcome) -> None:
        """The next severity of a corruption."""
        self.found.setdefault(name, []).append(outcome)

    @property
    def pools(self) -> dict[str, tuple[str, ...]]:
        """By its key the corruptions that an average is over: "all19", and "all15" without the four further ones."""
        pools = {f"all{len(self.found)}": tuple(self.found)}
        if set(self.usual) <= set(self.found):
            pools[f"all{len(self.usual)}"] = tuple(self.usual)
        return pools

    def pooled(self) -> dict[str, dict[str, float]]:
        """Of each of :attr:`pools` the scores of all its images together, every one weighing the same."""
        return {
            key: Outcome.together([one for name in names for one in self.found[name]]).scores(self.bins)
            for key, names in self.pools.items()
        }

    def by_severity(self) -> dict[str, dict[str, list[float]]]:
        """Of each corruption every score at every severity."""
        made = {}
        for name, outcomes in self.found.items():
            rows = [outcome.scores(self.bins) for outcome in outcomes]
            made[name] = {score: [row[score] for row in rows] for score in SCORES}
        return made

    def results(self) -> dict[str, Any]:
        """``corrupted_<corruption>_<score>``, the mean over severities, and ``corrupted_all19_<score>`` of all images."""
        means: Mapping[str, dict[str, float]] = {
            name: {score: float(np.mean(values)) for score, values in scores.items()}
            for name, scores in self.by_severity().items()
        }
        return {
            f"{PREFIX}{name}_{score}": value
            for name, scores in {**means, **self.pooled()}.items()
            for score, value in scores.items()
        }
