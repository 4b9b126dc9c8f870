"""One request for text data (a GLUE task, own files, any data set of the Hub) to splits that are ready to tokenise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from logitmix_hf.data.bad_rows import without_bad_rows
from logitmix_hf.data.labels import Labels, read_labels, tells_labels, unlabelled_note
from logitmix_hf.data.left_out import LeftOut, left_out_line
from logitmix_hf.data.roles import HELD_OUT, name_judged, name_tested
from logitmix_hf.data.rows import Columns
from logitmix_hf.data.split import hold_out_rows, keep_rows
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.evaluation.scores import DEFAULT_METRICS
from logitmix_hf.text.columns import find_label_column, find_text_columns, texts
from logitmix_hf.text.fingerprints import dataset_of, digest_of, renumbered
from logitmix_hf.text.request import TextRequest
from logitmix_hf.text.sources import TextSource, check_data, open_source
from logitmix_hf.text.tokens import tokenize

if TYPE_CHECKING:
    from datasets import Dataset
else:
    Dataset = Any  # importing it takes seconds

__all__ = ["TextData", "TextRequest", "check_data", "load_text_data", "tokenize"]


@dataclass(frozen=True, kw_only=True)
class TextData(TaskData[Dataset]):
    """The splits of one data set of texts, and what its labels mean.

    Their rows are raw, with the text ``columns``, ``labels`` in their final form (int in [0, C), float, or C floats of
    0/1), ``idx``, and ``posterior`` where the generator knows it. The fingerprint is of all rows.
    """

    columns: tuple[str, ...]

    def relabelled(self, label_names: Sequence[str], numbers: Sequence[int]) -> TextData:
        """The same data with its class k as number ``numbers[k]`` of ``label_names``, of which there may be more."""
        names, numbers = tuple(map(str, label_names)), list(numbers)
        if numbers == list(range(len(names))):
            return replace(self, label_names=names)
        made = {key: renumbered(split, numbers, len(names), self.problem) for key, split in self.splits.items()}
        return self.with_splits(made, label_names=names)


def load_text_data(request: TextRequest) -> TextData:
    """Read, check and number the data that a request means.

    Raises:
        UserError: for anything that the user can mend; the message is one line.
    """
    check_data(request)
    source, seed = open_source(request), request.seed
    request.check_held_out(bool(source.validation))
    if request.hold_out is not None:
        source = replace(source, validation={}, called={k: v for k, v in source.called.items() if k in source.test})
    columns, tables, labels, notes, left_out = _read(source, request)
    train, validation, note = tables.pop("train", None), {key: tables[key] for key in source.validation}, source.note
    share = request.validation_share if request.hold_out is None else request.hold_out
    if train is not None and not validation and share > 0:
        train, held, note = _set_apart(train, labels.problem, share, seed)
        validation = {"validation": held}
    calibration, calibration_note = tables.get("calibration"), f"the file {Path(request.calibration_file or '').name}"
    if train is not None:
        train = train.take(keep_rows(len(train), request.max_train_samples, seed))
        if request.calibration_share is not None:
            train, calibration, calibration_note = _set_apart(train, labels.problem, request.calibration_share, seed)
    most = request.max_eval_samples
    validation = {key: split.take(keep_rows(len(split), most, None)) for key, split in validation.items()}
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
        judged=name_judged(
            {key: source.called.get(key, HELD_OUT) for key in ready}, source.task.prefixes if source.task else None
        ),
        tested=name_tested({key: source.called[key] for key, split in test.items() if "labels" in split.column_names}),
        validation_note=note,
        calibration=calibration_ready,
        calibration_note=calibration_note if calibration is not None else "",
        notes=notes,
        left_out=left_out,
    )


def _set_apart(train: pa.Table, problem: str, share: float, seed: int) -> tuple[pa.Table, pa.Table, str]:
    """What stays of train, what is set apart, and that in words."""
    train_rows, held_rows = hold_out_rows(train["labels"].to_pylist(), problem, share, seed)
    how = "a random" if problem == REGRESSION else "a stratified"
    return (
        train.take(train_rows),
        train.take(held_rows),
        f"{how} {share:.3g} share of train ({len(held_rows)} rows), seed {seed}",
    )


def _read(
    source: TextSource, request: TextRequest
) -> tuple[tuple[str, ...], dict[str, pa.Table], Labels, tuple[str, ...], dict[str, list[LeftOut]]]:
    """Text columns, splits with their final columns ("train" first where there is one), labels, notes, and rows left out."""
    splits: dict[str, Columns] = {} if source.train is None else {"train": source.train}
    splits |= (
        source.validation | ({} if source.calibration is None else {"calibration": source.calibration}) | source.test
    )
    first = next(iter(splits.values()))
    label = "label" if source.task else find_label_column(first, request.label_column, request.text_columns)
    columns = source.task.columns if source.task else find_text_columns(first, request.text_columns, label)
    regression = True if source.task is not None and source.task.regression else request.regression
    numbers, left_out, notes = {}, dict[str, list[LeftOut]](), list[str]()
    for key, split in splits.items():
        if request.skips and key not in source.test:
            for name, flag in ((label, "label_column"), *((name, "text_columns") for name in columns)):
                split.require(name, flag)
            splits[key], numbers[key], bad = without_bad_rows(split, columns, label, regression)
            if bad:
                where = Path(split.where).name if source.kind == "file" else source.called.get(key, key)
                left_out[key], notes = bad, [*notes, left_out_line(where, bad)]
    first = next(iter(splits.values()))
    labelled = {
        key: (split, split.require(label, "label_column"))
        for key, split in splits.items()
        if key not in source.test or tells_labels(split, label, first)
    }
    names = request.known_labels or (source.task.label_names if source.task else ())
    known = () if regression else names
    labels, values = read_labels(labelled, regression=regression, known=known, learns=request.training)
    tables = {}
    for key, split in splits.items():
        made = texts(split, columns)
        if key in values:
            made["labels"] = pa.array(values[key], _LABEL_TYPES[labels.problem])
        made["idx"] = pa.array(numbers.get(key, np.arange(len(split))))
        if source.kind == "builtin" and key != "calibration":
            made["posterior"] = split.table.column("posterior")
        tables[key] = pa.table(made)
    untold = (note for key in source.test if key in splits for note in unlabelled_note(splits[key], label))
    return (
        columns,
        tables,
        labels,
        (*(note for split in splits.values() for note in split.notes), *notes, *labels.notes, *untold),
        left_out,
    )


_LABEL_TYPES = {SINGLE: pa.int64(), REGRESSION: pa.float64(), MULTI: pa.list_(pa.float32())}
