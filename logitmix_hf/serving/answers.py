"""From logits to what is said of a row: label, calibrated probability, the next likeliest, or no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, check_number, listed
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.sets import Sets
from logitmix_hf.evaluation.thresholds import Thresholds
from logitmix_hf.serving.inputs import InputRow


@dataclass(frozen=True)
class Answers:
    """How rows are answered.

    problem, label_names: as the classifier has them.
    top_k:         the k likeliest labels, each with its probability; None: the likeliest, or for multi-label all that
                   are likely enough.
    abstain_below: no label where the confidence is below: the probability of the likeliest class, or for multi-label
                   the least of all max(p, 1 - p), that of the least sure yes or no.
    threshold:     multi-label: probability above which a label is said.
    thresholds:    of the labels, where the model has some: what is said without ``top_k`` and ``threshold``.
    coverage:      the set of classes that holds the right one with this probability, as ``set``, by ``sets``.
    files:         whether rows have a file's name.
    kept:          columns of the input that stand before the answer, with their kinds; one that is called like a column of
                   the answer is called ``input_NAME``.
    each:          the probability of every label as well, as ``p_NAME``.

    Raises:
        UserError: for a number out of range, or one that the problem has no use for.
    """

    problem: str
    label_names: tuple[str, ...] = ()
    top_k: int | None = None
    abstain_below: float | None = None
    threshold: float | None = None
    files: bool = False
    kept: Mapping[str, str] = field(default_factory=dict)
    each: bool = False
    thresholds: Thresholds | None = None
    coverage: float | None = None
    sets: Sets | None = None

    def __post_init__(self) -> None:
        given: dict[str, Any] = {"top_k": self.top_k, "abstain_below": self.abstain_below, "threshold": self.threshold}
        given["probabilities"] = self.each or None
        if self.coverage is not None:
            self._check_coverage(self.coverage)
        for name, value in given.items():
            if value is None:
                continue
            if self.problem == REGRESSION:
                raise UserError(
                    f"--{name} is for classes, and this model is a regression: it gives a value. Leave it out."
                )
            if name != "probabilities":
                check_number(name, value, low=1 if name == "top_k" else 0, high=np.inf if name == "top_k" else 1)
        if self.each and len(set(self.label_names)) < len(self.label_names):
            twice = [name for name in dict.fromkeys(self.label_names) if self.label_names.count(name) > 1]
            raise UserError(
                f"--probabilities has a column a label, and the model calls several labels {listed(twice, 3)}: leave it out,"
                " or give them names of their own in config.json (id2label)."
            )
        if self.threshold is not None and (self.problem != MULTI or self.top_k is not None):
            why = (
                "with --top_k every row gets as many labels"
                if self.problem == MULTI
                else "this one gives one label a row"
            )
            raise UserError(f"--threshold says which labels of a multi-label model are said; {why}: leave it out.")

    def _check_coverage(self, level: float) -> None:
        if self.problem != SINGLE:
            what = "is a regression" if self.problem == REGRESSION else "gives several labels a row"
            raise UserError(f"--coverage is for one class a row, and this model {what}: leave it out.")
        if self.sets is None:
            raise UserError(
                "--coverage needs calibration rows, of which this model kept none: calibrate it (logitmix calibrate --save, or"
                " --calibration_split while training)."
            )
        self.sets.limit(level)

    @property
    def columns(self) -> dict[str, str]:
        """Name to kind of value: "index", "text", "number", "boolean", "texts" or "numbers"; of columns of the input also
        "real", a number that is not rounded, or "any"."""
        kept = {self._kept_names[name]: kind for name, kind in self.kept.items()}
        return self._row_columns | kept | self._answer_columns

    @property
    def _row_columns(self) -> dict[str, str]:
        return {"index": "index", **({"file": "text"} if self.files else {})}

    @property
    def _answer_columns(self) -> dict[str, str]:
        if self.problem == REGRESSION:
            return {"value": "number"}
        columns = {"labels": "texts", "probabilities": "numbers"} if self._all_likely else {}
        for place in range(0 if self._all_likely else self._places):
            columns |= {_nth("label", place): "text", _nth("probability", place): "number"}
        if self.abstain_below is not None:
            columns |= {"abstained": "boolean"}
            columns |= {_suggested(name): kind for name, kind in columns.items() if name.startswith("label")}
        if self.coverage is not None:
            columns |= {"set": "texts", "set_size": "index"}
        return columns | ({f"p_{name}": "number" for name in self.label_names} if self.each else {})

    @cached_property
    def _kept_names(self) -> dict[str, str]:
        """Of each column of the input, what it is called in the output."""
        taken, names = {*self._row_columns, *self._answer_columns, *self.kept}, {}
        for name in self.kept:
            own = name
            if name in self._row_columns or name in self._answer_columns:
                while own in taken:
                    own = f"input_{own}"
            taken.add(own)
            names[name] = own
        return names

    @property
    def _all_likely(self) -> bool:
        return self.problem == MULTI and self.top_k is None

    @cached_property
    def _limits(self) -> np.ndarray:
        """(C,) what the probability of each of several labels must be above."""
        if self.threshold is None and self.thresholds is not None:
            return self.thresholds.of(self.label_names)
        return np.full(len(self.label_names), 0.5 if self.threshold is None else self.threshold)

    @property
    def _places(self) -> int:
        return min(self.top_k or 1, len(self.label_names))

    def of(self, rows: Sequence[InputRow], logits: np.ndarray) -> list[dict[str, Any]]:
        """One answer a row, by column; logits (B, C), finite."""
        heads = [
            {"index": row.index, **({"file": row.file} if self.files else {})}
            | {own: row.kept.get(name) for name, own in self._kept_names.items()}
            for row in rows
        ]
        if self.problem == REGRESSION:
            return [head | {"value": float(value)} for head, value in zip(heads, logits[:, 0], strict=True)]
        probabilities = Predictions(logits, None, self.label_names, self.problem).probabilities
        answers = [head | self._answer(row) for head, row in zip(heads, probabilities, strict=True)]
        if self.coverage is not None and self.sets is not None:
            for answer, p, inside in zip(answers, probabilities, self.sets.members(logits, self.coverage), strict=True):
                order = [number for number in np.argsort(-p, kind="stable") if inside[number]]
                answer |= {"set": [self.label_names[number] for number in order], "set_size": len(order)}
        return answers

    def _answer(self, p: np.ndarray) -> dict[str, Any]:
        order = np.argsort(-p, kind="stable")
        if self._all_likely:
            limits = self._limits
            likely = [number for number in order if p[number] > limits[number]]
            answer: dict[str, Any] = {
                "labels": [self.label_names[number] for number in likely],
                "probabilities": [float(p[number]) for number in likely],
            }
        else:
            answer = {}
            if self.thresholds is not None and self.top_k is None:
                said = int(self.thresholds.decide(p[None], self.label_names)[0])
                order = np.array([said, *(number for number in order if number != said)])
            for place, number in enumerate(order[: self._places]):
                answer[_nth("label", place)] = self.label_names[number]
                answer[_nth("probability", place)] = float(p[number])
        if self.abstain_below is not None:
            confidence = np.maximum(p, 1 - p).min() if self.problem == MULTI else p.max()
            abstained = bool(confidence < self.abstain_below)
            labels = {name: value for name, value in answer.items() if name.startswith("label")}
            answer |= {"abstained": abstained, **{_suggested(name): value for name, value in labels.items()}}
            answer |= dict.fromkeys(labels) if abstained else {}
        if self.each:
            answer |= {f"p_{name}": float(value) for name, value in zip(self.label_names, p, strict=True)}
        return answer


def _suggested(name: str) -> str:
    """Where a label stands, too, that is not said where the model abstains."""
    return name.replace("label", "suggestion", 1)


def _nth(name: str, place: int) -> str:
    return name if place == 0 else f"{name}_{place + 1}"
