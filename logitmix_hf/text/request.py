"""What text data is wanted: one value, made by a command's settings, checked when made, taken by everything that reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf.data.request import DataRequest
from logitmix_hf.errors import UserError, pick
from logitmix_hf.text.tasks import GLUE, TASKS, Task


@dataclass(frozen=True, kw_only=True)
class TextRequest(DataRequest):
    """Which texts to read, and what for.

    Attributes:
        task: a name in ``TASKS``, read from ``dataset_name``: default the task's own data set, else one or a local
            folder in its layout, or "builtin".
        dataset_name: without a task, any data set of the Hub or a folder, by name and columns. ``dataset_config`` is the
            task's by default.
        train_file, validation_file, test_file: own data in place of both; kinds by suffix, see
            :func:`logitmix_hf.data.rows.read_columns`.
        text_columns: one or two. Default: the columns that hold texts beside the label, when there are one or two.
        regression: True: integer labels are values. False: real numbers are classes. See
            :func:`logitmix_hf.data.labels.read_labels`, which also says how labels are ordered.
        known_labels: class names in the order of a model that exists already.
        calibration_file: in place of ``calibration_share``, rows of their own with the columns of the other splits.

    Raises:
        UserError: when made, as :class:`~logitmix_hf.data.request.DataRequest`, and for requests that contradict themselves
            and unknown tasks.
    """

    task: str | None = None
    dataset_name: str | None = None
    train_file: str | Path | None = None
    validation_file: str | Path | None = None
    test_file: str | Path | None = None
    text_columns: tuple[str, ...] | None = None
    regression: bool | None = None
    known_labels: tuple[str, ...] = ()
    calibration_file: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.files and self.need_test and self.test_file is None:
            raise UserError("Predictions for a test split need a --test_file.")
        if self.calibration_share is not None and self.files and self.train_file is None:
            raise UserError("--calibration_split takes its rows from train, and there is no --train_file.")
        self._check_place()
        self._check_columns()

    @property
    def files(self) -> dict[str, str | Path]:
        """The own files by their role."""
        given = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {role: path for role, path in given.items() if path is not None}

    def _brings_none(self) -> bool:
        return "train" in self.files and "validation" not in self.files

    @property
    def place(self) -> str:
        """The data set that is read where there are no files."""
        return self.dataset_name or (TASKS[self.task].dataset if self.task else GLUE)

    @property
    def config(self) -> str | None:
        """The configuration of :attr:`place` that is read; None: the only one."""
        task = TASKS[self.task] if self.task else None
        return self.dataset_config or (None if task is None else task.config or task.name)

    def _check_place(self) -> None:
        flags = ", ".join(f"--{key}_file {path}" for key, path in self.files.items())
        if self.files and self.task:
            raise UserError(f"--task {self.task} and {flags} were both given: take a GLUE task or your own files.")
        if self.files and self.dataset_name:
            raise UserError(f"--dataset_name {self.dataset_name} and {flags} were both given: take one of them.")
        if self.task:
            self._check_task(pick(TASKS, self.task, "task"))
        elif self.dataset_name == "builtin":
            raise UserError(f"--dataset_name builtin needs a --task: {', '.join(builtin_tasks())}.")
        elif not self.files and not self.dataset_name and self.dataset_config is None:
            raise UserError(
                "No data was given: take a GLUE task (--task rte), your own file (--train_file data.csv, or --validation_file"
                " to judge a model on), or any data"
                " set of the Hub (--dataset_name ORG/NAME)."
            )

    def _check_task(self, task: Task) -> None:
        if self.dataset_name == "builtin":
            pick(builtin_tasks(), task.name, "builtin task")
        for flag, value in (("text_columns", self.text_columns), ("label_column", self.label_column)):
            if value:
                raise UserError(
                    f"--{flag} and --task {task.name} were both given: a task has its own columns"
                    f" ({', '.join(task.columns)}; label); leave out one of the two."
                )
        if self.regression and not task.regression:
            raise UserError(
                f"--regression does not fit --task {task.name}, whose labels are {', '.join(task.label_names)}."
            )

    def _check_columns(self) -> None:
        columns = self.text_columns
        if columns is None:
            return
        if len(columns) not in (1, 2) or len(set(columns)) != len(columns) or not all(columns):
            raise UserError(f"--text_columns takes one column or two joined by a comma, got {','.join(columns)!r}.")
        if self.label_column in columns:
            raise UserError(f"--label_column {self.label_column!r} is also one of the text columns.")


def builtin_tasks() -> Mapping[str, Any]:
    """The generated tasks by name."""
    from logitmix_hf.builtin.tasks import BUILTIN_TASKS

    return BUILTIN_TASKS
