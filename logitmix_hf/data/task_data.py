"""The splits of one data set and what their labels mean, as far as texts and images do not differ in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from logitmix_hf.data.left_out import LeftOut
from logitmix_hf.data.roles import JudgedSplit

if TYPE_CHECKING:
    from typing_extensions import Self

SplitT = TypeVar("SplitT")


@dataclass(frozen=True, kw_only=True)
class TaskData(Generic[SplitT]):
    """What a training, a judgement and a report read of a data set.

    Attributes:
        train, validation, test: the last two by the name of their predictions file. A split without labels has unknown ones
            (test splits of GLUE). ``idx`` is the row's number in the split that it was read from, counted from 0: for a
            validation share of train, and after ``max_train_samples``, the number in the whole train split.
        label_names: in the order of the label numbers; empty for a regression.
        problem: the word of ``config.problem_type``.
        metrics: the headline first.
        name: the task, the file's stem, or the data set's last word.
        source: what a card prints, never a local path.
        kind: whether that is "hub", "folder", "file" or "builtin".
        fingerprint: 16 hex digits of a SHA-256 of rows and label names as they are here, the same on every machine.
        judged: the splits of ``validation``, in their order, with what the keys of their scores begin with.
        tested: those of ``test`` that have labels.
        validation_note: where validation comes from, in words: a split, a file, or the share and seed held out of train.
        calibration: rows that the temperature is fitted on, neither trained nor judged on.
        calibration_note: where they come from.
        notes: what was surprising about the data, one line each.
        left_out: rows that could not be used and were left out, by the split that they were read in.
    """

    train: SplitT | None
    validation: dict[str, SplitT]
    test: dict[str, SplitT]
    label_names: tuple[str, ...]
    problem: str
    metrics: tuple[str, ...]
    name: str
    source: str
    kind: str
    fingerprint: str
    judged: tuple[JudgedSplit, ...]
    tested: tuple[JudgedSplit, ...] = ()
    validation_note: str = ""
    calibration: SplitT | None = None
    calibration_note: str = ""
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, Sequence[LeftOut]] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, SplitT]:
        """All of them by name, "train" and "calibration" first where they are."""
        first = {"train": self.train, "calibration": self.calibration}
        return {**{key: split for key, split in first.items() if split is not None}, **self.validation, **self.test}

    def with_splits(self, splits: Mapping[str, SplitT], **changes: Any) -> Self:
        """The same data with other :attr:`splits`, and with other fields."""
        return replace(
            self,
            train=splits.get("train"),
            validation={key: splits[key] for key in self.validation},
            test={key: splits[key] for key in self.test},
            calibration=splits.get("calibration"),
            **changes,
        )
