"""Data, model and processor of one training, ready to be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from logitmix_hf.data.task_data import TaskData
from logitmix_hf.evaluation import Predictions
from logitmix_hf.training.settings import Change


@dataclass(frozen=True)
class Loaded:
    """What is ready to train.

    Attributes:
        data: what the labels mean, and where they come from.
        splits: the training rows under ``"train"``, rows for the temperature under ``"calibration"``, and every split
            of ``data.validation`` and ``data.test`` by its name, as ``Trainer`` takes them.
        processor: tokenizer or image processor, saved beside the model.
        known: what a split knows of its rows beside the labels (``idx``, ``posterior``), by its name.
        has_head: whether the model's head comes with weights, and is not new.
        facts: the content of ``data.json``: see ``data.facts``.
        model_record, data_record: what ``run.json`` says of them beyond what every run says.
        corrupted: splits of corrupted images by corruption and severity, judged at the end; ``data_record`` has
            "corrupted".
        changed: arguments of the training, by flag, that could not stay as they were asked.
        given: predictions that were made before, by the name of their split, whose rows this model is not asked.
        calibrated_on: what ``calibration.describe`` says where no flag decides it.
    """

    data: TaskData[Any]
    splits: Mapping[str, Any]
    model: PreTrainedModel
    processor: Any
    collator: Callable[[list[Any]], Mapping[str, Any]]
    known: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    has_head: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    model_record: Mapping[str, Any] = field(default_factory=dict)
    data_record: Mapping[str, Any] = field(default_factory=dict)
    corrupted: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    changed: Mapping[str, Change] = field(default_factory=dict)
    given: Mapping[str, Predictions] = field(default_factory=dict)
    calibrated_on: Mapping[str, Any] | None = None

    def rows(self, name: str) -> int:
        """How many rows a split has."""
        return len(self.given[name] if name in self.given else self.splits[name])


def known_of(split: Any) -> dict[str, np.ndarray]:
    """What a raw split says of its rows beside their inputs and labels."""
    if hasattr(split, "idx"):
        return {"idx": split.idx}
    return {name: np.asarray(split[name]) for name in split.column_names if name in ("idx", "posterior")}
