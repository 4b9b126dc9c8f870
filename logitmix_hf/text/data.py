"""One request for text data (a GLUE task, own files, any data set of the Hub) to splits that are ready to tokenise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from logitmix_hf.data.roles import Needs
from logitmix_hf.data.split import hold_out_rows, keep_rows
from logitmix_hf.errors import UserError, check_number
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.evaluation.scores import DEFAULT_METRICS
from logitmix_hf.text.columns import find_label_column, find_text_columns, texts
from logitmix_hf.text.files import RawSplit
from logitmix_hf.text.fingerprints import dataset_of, digest_of, renumbered
from logitmix_hf.text.labels import Labels, read_labels
from logitmix_hf.text.sources import GLUE, Request, Source, open_source
from logitmix_hf.text.tokens import tokenize

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["GLUE", "TextData", "check_data", "load_text_data", "tokenize"]


@dataclass(frozen=True)
class TextData:
    """The splits of one data set, and what its labels mean.

    train, validation, test: raw rows with the text ``columns``, ``labels`` in their final form (int in [0, C), float,
        or C floats of 0/1), ``idx``, and ``posterior`` where the generator knows it. ``validation`` and ``test`` are
        by the name of their predictions file. A split without ``labels`` has unknown ones (test splits of GLUE).
        ``idx`` is the row's number in the split that it was read from, counted from 0: for a validation share of
        train, and after ``max_train_samples``, the number in the whole train split.
    label_names: in the order of the label numbers; empty for a regression.
    problem: the word of ``config.problem_type``. metrics: the headline first.
    name: the task, the file's stem, or the data set's last word. source: what a card prints, never a local path;
        ``kind`` says whether it is "hub", "folder", "file" or "builtin".
    fingerprint: SHA-256 (16 hex digits) of all rows and label names as they are here, the same on every machine.
    validation_note: where validation comes from, in words: a split, a file, or the share and seed held out of train.
    calibration: rows that the temperature is fitted on, neither trained nor judged on; ``calibration_note`` likewise.
    """

    train: Dataset | None
    validation: dict[str, Dataset]
    test: dict[str, Dataset]
    columns: tuple[str, ...]
    label_names: tuple[str, ...]
    problem: str
    metrics: tuple[str, ...]
    name: str
    source: str
    kind: str
    fingerprint: str
    validation_note: str = ""
    calibration: Dataset | None = None
    calibration_note: str = ""

    @property
    def splits(self) -> dict[str, Dataset]:
        """All of them by name, "train" and "calibration" first where they are."""
        first = {"train": self.train, "calibration": self.calibration}
        return {**{key: split for key, split in first.items() if split is not None}, **self.validation, **self.test}

    def renumbered(self, label_names: Sequence[str]) -> TextData:
        """The same data with its classes in another order, for a model that numbers them so already.

        Raises:
            UserError: when these are not the names that the data has.
        """
        names = tuple(map(str, label_names))
        if names == self.label_names:
            return self
        if sorted(names) != sorted(self.label_names):
            raise UserError(f"The data's labels are {', '.join(self.label_names)}, the model's are {', '.join(names)}.")
        return self.relabelled(names, [names.index(name) for name in self.label_names])

    def relabelled(self, label_names: Sequence[str], numbers: Sequence[int]) -> TextData:
        """The same data with its class k as number ``numbers[k]`` of ``label_names``, of which there may be more."""
        names, numbers = tuple(map(str, label_names)), list(numbers)
        if numbers == list(range(len(names))):
            return replace(self, label_names=names)
        made = {key: renumbered(split, numbers, len(names), self.problem) for key, split in self.splits.items()}
        return replace(
            self,
            train=made.get("train"),
            validation={key: made[key] for key in self.validation},
            test={key: made[key] for key in self.test},
            label_names=names,
            calibration=made.get("calibration"),
        )


def check_data(
    *,
    task: str | None = None,
    dataset_name: str | None = GLUE,
    dataset_config: str | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    test_file: str | Path | None = None,
    text_columns: str | Sequence[str] | None = None,
    label_column: str | None = None,
    regression: bool = False,
    validation_share: float = 0.1,
    seed: int = 42,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    need_test: bool = False,
    calibration_share: float | None = None,
    calibration_file: str | Path | None = None,
    training: bool = True,
) -> Request:
    """The checks of :func:`load_text_data` that cost nothing, for the first second of a command.

    Raises:
        UserError: as there, as far as arguments and the first bytes of files tell.
    """
    check_number("validation_share", validation_share, low=0, high=0.9)
    for name, value in (("max_train_samples", max_train_samples), ("max_eval_samples", max_eval_samples)):
        if value is not None:
            check_number(name, value, low=1)
            if not isinstance(value, int):
                raise UserError(f"{name} must be a whole number, got {value!r}.")
    given = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {key: path for key, path in given.items() if path is not None}
    if files and need_test and test_file is None:
        raise UserError("Predictions for a test split need a --test_file.")
    if isinstance(text_columns, str):
        text_columns = [column.strip() for column in text_columns.split(",")]
    columns = None if text_columns is None else tuple(text_columns)
    if calibration_share is not None:
        check_number("calibration_split", calibration_share, low=0, high=0.9, open_low=True)
        if files and "train" not in files:
            raise UserError("--calibration_split takes its rows from train, and there is no --train_file.")
    return Request(task, dataset_name, dataset_config, files, columns, label_column, regression, calibration_file)


def load_text_data(
    *,
    task: str | None = None,
    dataset_name: str | None = GLUE,
    dataset_config: str | None = None,
    train_file: str | Path | None = None,
    validation_file: str | Path | None = None,
    test_file: str | Path | None = None,
    text_columns: str | Sequence[str] | None = None,
    label_column: str | None = None,
    regression: bool = False,
    validation_share: float = 0.1,
    seed: int = 42,
    max_train_samples: int | None = None,
    max_eval_samples: int | None = None,
    need_test: bool = False,
    known_labels: Sequence[str] = (),
    calibration_share: float | None = None,
    calibration_file: str | Path | None = None,
    training: bool = True,
) -> TextData:
    """Read, check and number the data that the arguments mean.

    Args:
        task: a name in ``TASKS``, read from ``dataset_name``: the Hub's ``nyu-mll/glue``, a local folder in its
            layout, or "builtin".
        dataset_name: without a task, any data set of the Hub or a folder, by name and columns.
        dataset_config: its configuration; default the task, or the only one.
        train_file, validation_file, test_file: own data in place of both; kinds by suffix, see
            :func:`logitmix_hf.text.files.read_file`.
        text_columns: one or two ("a,b" or a sequence). Default: the columns that hold texts beside the label, when
            there are one or two of them.
        label_column: default "label", else "labels".
        regression: take integer labels as values. Real numbers always are, see
            :func:`logitmix_hf.text.labels.read_labels`, which also says how labels are ordered.
        validation_share: where there is no validation split (``data.roles``) or file, this share of train is held
            out, stratified, by ``seed``; 0 for none.
        max_train_samples: keep so many rows of train, the first of a shuffle by ``seed``.
        max_eval_samples: keep the first rows of each validation split. Test splits are always whole.
        need_test: read the test splits too.
        known_labels: class names in the order of a model that exists already.
        calibration_share: this share of the rows kept for training is set apart, stratified, by ``seed``.
        calibration_file: or these rows of their own, with the columns of the other splits.
        training: False: a model that exists is judged. Train is read for ``calibration_share`` alone; without a
            validation split the test split is validation, or the only split there is; and one class is enough.

    Raises:
        UserError: for anything that the user can mend; the message is one line.
    """
    request = check_data(
        task=task, dataset_name=dataset_name, dataset_config=dataset_config, train_file=train_file,
        validation_file=validation_file, test_file=test_file, text_columns=text_columns, label_column=label_column,
        regression=regression, validation_share=validation_share, max_train_samples=max_train_samples,
        max_eval_samples=max_eval_samples, need_test=need_test, calibration_share=calibration_share,
        calibration_file=calibration_file, training=training,
    )  # fmt: skip
    source = open_source(request, Needs(need_test, training or calibration_share is not None, not training))
    columns, tables, labels = _read(source, request, tuple(known_labels), training)
    train, validation, note = tables.pop("train", None), {key: tables[key] for key in source.validation}, source.note
    if train is not None and not validation and validation_share > 0:
        train, held, note = _set_apart(train, labels.problem, validation_share, seed)
        validation = {"validation": held}
    calibration, calibration_note = tables.get("calibration"), f"the file {Path(calibration_file or '').name}"
    if train is not None:
        train = train.take(keep_rows(len(train), max_train_samples, seed))
        if calibration_share is not None:
            train, calibration, calibration_note = _set_apart(train, labels.problem, calibration_share, seed)
    validation = {key: split.take(keep_rows(len(split), max_eval_samples, None)) for key, split in validation.items()}
    ready = {key: dataset_of(split) for key, split in validation.items()}
    test = {key: dataset_of(tables[key]) for key in source.test}
    train_ready = None if train is None else dataset_of(train)
    calibration_ready = None if calibration is None else dataset_of(calibration)
    parts = [train_ready, *ready.values(), *test.values(), calibration_ready]
    return TextData(
        train=train_ready,
        validation=ready,
        test=test,
        columns=columns,
        label_names=labels.names,
        problem=labels.problem,
        metrics=source.task.metrics if source.task else DEFAULT_METRICS[labels.problem],
        name=source.name,
        source=source.origin,
        kind=source.kind,
        fingerprint=digest_of([part._fingerprint for part in parts if part is not None], list(labels.names)),
        validation_note=note,
        calibration=calibration_ready,
        calibration_note=calibration_note if calibration is not None else "",
    )


def _set_apart(train: pa.Table, problem: str, share: float, seed: int) -> tuple[pa.Table, pa.Table, str]:
    """What stays of train, what is set apart, and that in words."""
    kept, held = hold_out_rows(train["labels"].to_pylist(), problem, share, seed)
    how = "a random" if problem == REGRESSION else "a stratified"
    return train.take(kept), train.take(held), f"{how} {share:.3g} share of train ({len(held)} rows), seed {seed}"


def _read(
    source: Source, request: Request, known: tuple[str, ...], training: bool
) -> tuple[tuple[str, ...], dict[str, pa.Table], Labels]:
    """Text columns, splits with their final columns, and labels; "train" first where there is one."""
    splits: dict[str, RawSplit] = {} if source.train is None else {"train": source.train}
    splits |= (
        source.validation | ({} if source.calibration is None else {"calibration": source.calibration}) | source.test
    )
    first = next(iter(splits.values()))
    label = "label" if source.task else find_label_column(first, request.label_column)
    columns = source.task.columns if source.task else find_text_columns(first, request.text_columns, label)
    labelled = {
        key: (split, split.require(label, "label_column"))
        for key, split in splits.items()
        if key not in source.test or _has_labels(split, label, source.task is not None)
    }
    names = known or (source.task.label_names if source.task else ())
    regression = request.regression or (source.task is not None and source.task.regression)
    labels, values = read_labels(labelled, regression=regression, known=() if regression else names, learns=training)
    tables = {}
    for key, split in splits.items():
        made = texts(split, columns)
        if key in values:
            made["labels"] = pa.array(values[key], _LABEL_TYPES[labels.problem])
        made["idx"] = pa.array(np.arange(len(split)))
        if source.kind == "builtin" and key != "calibration":
            made["posterior"] = split.table.column("posterior")
        tables[key] = pa.table(made)
    return columns, tables, labels


_LABEL_TYPES = {SINGLE: pa.int64(), REGRESSION: pa.float64(), MULTI: pa.list_(pa.float32())}


def _has_labels(split: RawSplit, column: str, glue: bool) -> bool:
    """Whether a test split tells its labels: it has the column, no row lacks one, and not all are GLUE's -1."""
    if column not in split.columns:
        return False
    values = split.values(column)
    return all(value is not None for value in values) and not (glue and all(value == -1 for value in values))
