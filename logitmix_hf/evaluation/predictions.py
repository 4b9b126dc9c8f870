"""What a model said about each row of a split: the one value that training hands to evaluation."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from logitmix_hf.disk import replacing
from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.decisions import class_numbers, decisions, require_finite, softmax, two_columns

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
PROBLEMS = {name: name for name in (SINGLE, MULTI, REGRESSION)}

_METADATA = b"logitmix_hf"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits, labels and names of one split, in the row order of the data.

    logits:      (N, C) float32, never probabilities; regression (N, 1), the predicted value. One logit z of a binary
                 single-label model becomes the two columns (0, z), which say the same.
    labels:      single-label (N,) int64 in [0, C); regression (N,) float64; multi-label (N, C) int64 of 0/1; None
                 where they are unknown (a test split).
    label_names: C names, or none; none for regression.
    problem:     SINGLE, MULTI or REGRESSION: the words of ``config.problem_type`` in transformers.
    idx:         (N,) int64, each row's number in the data; 0 … N-1 when left out.
    posterior:   (N, C) float64, the true p(class|x) where the data generator knows it, else None. Multi-label: of each
                 label on its own. Regression: (N, 1), the conditional mean.
    members:     (N, M, C) float32, what each of the M members behind ``logits`` said, as the model gave it: no temperature
                 is in it; None for a model that is one.

    Arrays are converted to these types when made.

    Raises:
        UserError: for an unknown problem, shapes that do not fit, a label that is no class, or a logit that is NaN or
            infinite (naming the row).
    """

    logits: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...] = ()
    problem: str = SINGLE
    idx: np.ndarray | None = None
    posterior: np.ndarray | None = None
    members: np.ndarray | None = None

    def __post_init__(self) -> None:
        pick(PROBLEMS, self.problem, "problem")
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused below
            logits = np.asarray(self.logits).astype(np.float32)
        if logits.ndim == 1 and self.problem != MULTI:
            logits = logits[:, None]
        if logits.ndim != 2 or logits.shape[1] == 0:
            raise UserError(f"logits must have the shape (rows, classes), got {logits.shape}.")
        if self.problem == REGRESSION and logits.shape[1] != 1:
            raise UserError(f"Regression has one output a row, got logits of the shape {logits.shape}.")
        if len(logits):
            require_finite("logits", logits)
            if self.problem == SINGLE:
                logits = two_columns(logits)
        rows, classes = logits.shape
        # frozen is for the users of the object; here it is still being made
        object.__setattr__(self, "logits", logits.astype(np.float32))
        object.__setattr__(self, "labels", self._typed_labels(rows, classes))
        object.__setattr__(self, "label_names", tuple(str(name) for name in self.label_names))
        idx = np.arange(rows) if self.idx is None else np.asarray(self.idx)
        object.__setattr__(self, "idx", _shaped("idx", idx.astype(np.int64), (rows,)))
        if self.posterior is not None:
            posterior = np.asarray(self.posterior, dtype=np.float64)
            object.__setattr__(self, "posterior", _shaped("posterior", posterior, (rows, classes)))
        if self.members is not None:
            object.__setattr__(self, "members", self._typed_members(rows, classes))
        expected = 0 if self.problem == REGRESSION else classes
        if self.label_names and len(self.label_names) != expected:
            raise UserError(
                f"{expected} label names fit these logits, got {len(self.label_names)}: {self.label_names}."
            )

    def _typed_labels(self, rows: int, classes: int) -> np.ndarray | None:
        if self.labels is None:
            return None
        labels = np.asarray(self.labels)
        if self.problem == MULTI:
            labels = _shaped("labels", labels, (rows, classes))
            return class_numbers(labels.reshape(-1), 2, per_row=classes).reshape(rows, classes)
        labels = _shaped("labels", labels, (rows,))
        if self.problem == SINGLE:
            return class_numbers(labels, classes)
        labels = labels.astype(np.float64)
        return require_finite("labels", labels) if rows else labels

    def _typed_members(self, rows: int, classes: int) -> np.ndarray:
        members = np.asarray(self.members)
        if members.ndim != 3 or 0 in members.shape[1:]:
            raise UserError(f"members must have the shape (rows, members, classes), got {members.shape}.")
        count = members.shape[1]
        flat = members.reshape(-1, members.shape[2])
        if rows:
            require_finite("members", flat)
            flat = two_columns(flat) if self.problem == SINGLE else flat
        return _shaped("members", flat.reshape(-1, count, flat.shape[1]).astype(np.float32), (rows, count, classes))

    def __len__(self) -> int:
        return len(self.logits)

    def some(self, rows: np.ndarray) -> Predictions:
        """Of ``rows`` alone, (N,) bool or numbers, in their order."""
        arrays = ("labels", "idx", "posterior", "members")
        parts = {name: None if (whole := getattr(self, name)) is None else whole[rows] for name in arrays}
        return replace(self, logits=self.logits[rows], **parts)

    def by_idx(self) -> Predictions:
        """The rows in the order of their idx."""
        return self.some(np.argsort(self.idx, kind="stable"))  # type: ignore[arg-type]

    @property
    def probabilities(self) -> np.ndarray:
        """(N, C) float64: softmax over the classes, or for multi-label the sigmoid of each label."""
        if self.problem == REGRESSION:
            raise UserError("A regression has no probabilities; its predictions are values.")
        if self.problem == MULTI:
            return softmax(self.logits.reshape(-1))[:, 1].reshape(self.logits.shape)
        return softmax(self.logits)

    @property
    def predictions(self) -> np.ndarray:
        """Single-label: (N,) int64, the likeliest class (the first of equals). Regression: (N,) float64.
        Multi-label: (N, C) int64 of 0/1, 1 where the probability is above 1/2."""
        if self.problem == REGRESSION:
            return self.logits[:, 0].astype(np.float64)
        if self.problem == MULTI:
            return (self.logits > 0).astype(np.int64)
        return self.logits.argmax(axis=1).astype(np.int64)

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each column of the logits: its label's, or its number where labels have no names."""
        return self.label_names or tuple(map(str, range(self.logits.shape[1])))

    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """One row a decision, what calibration judges: logits (D, C) float64 and labels (D,) int64.

        Single-label: the rows as they are, D = N. Multi-label: each label of each row, D = N * C with two classes.

        Raises:
            UserError: for a regression, which has no confidence, or without labels or rows.
        """
        if self.problem == REGRESSION or self.labels is None:
            what = "are of a regression" if self.problem == REGRESSION else "have no labels"
            raise UserError(f"These predictions {what}, so their confidence cannot be judged.")
        return decisions(self.logits, self.labels)

    def confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each of :meth:`decisions`, which raises: how sure it is, (D,) float64 in (0, 1], and whether it is right, (D,)
        bool."""
        logits, labels = self.decisions()
        return softmax(logits).max(axis=1), logits.argmax(axis=1) == labels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file with the columns idx, label, prediction, logits and, where known, posterior and members
        (of each row a list of M lists).

        ``label`` is null where labels are unknown; problem and label names are in the schema's metadata. The file is
        complete or, after a crash, as it was before. Missing folders are made.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        value = {SINGLE: pa.int64(), MULTI: pa.list_(pa.int64()), REGRESSION: pa.float64()}[self.problem]
        labels = [None] * len(self) if self.labels is None else self.labels.tolist()
        columns = {
            "idx": pa.array(self.idx, pa.int64()),
            "label": pa.array(labels, value),
            "prediction": pa.array(self.predictions.tolist(), value),
            "logits": pa.array(list(self.logits), pa.list_(pa.float32())),
        }
        if self.posterior is not None:
            columns["posterior"] = pa.array(list(self.posterior), pa.list_(pa.float64()))
        if self.members is not None:
            inner = pa.array(list(self.members.reshape(-1, self.logits.shape[1])), pa.list_(pa.float32()))
            starts = np.arange(0, len(inner) + 1, self.members.shape[1], dtype=np.int32)
            columns["members"] = pa.ListArray.from_arrays(pa.array(starts), inner)
        facts = {"problem": self.problem, "label_names": self.label_names, "columns": self.logits.shape[1]}
        table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(facts).encode()})
        with replacing(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictions:
        """Read what :meth:`save` wrote; every number of a report can be computed from it again.

        Raises:
            UserError: when the file is missing or is not such a file.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise UserError(f"There is no predictions file {os.fspath(path)!r}; a run writes predictions/*.parquet.")
        try:
            # of one file and nothing around it: a folder called key=value must not become a column
            with pq.ParquetFile(path) as file:
                table = file.read()
            facts = json.loads((table.schema.metadata or {})[_METADATA])
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise UserError(f"{os.fspath(path)!r} is not a file that Predictions.save wrote.") from error
        shape = (len(table), facts["columns"])
        label = table["label"]
        unknown = label.null_count == len(label)
        return cls(
            logits=_matrix(table["logits"], np.float32, shape),
            labels=None if unknown else np.array(label.to_pylist()),
            label_names=tuple(facts["label_names"]),
            problem=facts["problem"],
            idx=table["idx"].to_numpy(),
            posterior=_matrix(table["posterior"], np.float64, shape) if "posterior" in table.column_names else None,
            members=_members(table["members"], shape) if "members" in table.column_names else None,
        )


def _shaped(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise UserError(f"{name} must have the shape {shape} to fit the logits, got {array.shape}.")
    return array


def _matrix(column, dtype: type, shape: tuple[int, int]) -> np.ndarray:  # column: a pyarrow ChunkedArray of lists
    return _matrix_of(column.combine_chunks(), dtype, shape)


def _matrix_of(lists, dtype: type, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=dtype).reshape(shape)


def _members(column, shape: tuple[int, int]) -> np.ndarray:  # of lists of lists, of which no row may be shorter
    rows, classes = shape
    flat = column.combine_chunks().flatten()
    count = len(flat) // rows if rows else 1
    return _matrix_of(flat, np.float32, (rows * count, classes)).reshape(rows, count, classes)
