"""What text data is wanted: one value, made by a command's settings, checked when made, taken by everything that reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf.data.roles import Needs
from logitmix_hf.errors import UserError, check_number, pick
from logitmix_hf.text.tasks import GLUE, TASKS, Task


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """Which rows to read, and what for. One that differs in a field is made by ``dataclasses.replace``.

    Attributes:
        task: a name in ``TASKS``, read from ``dataset_name``: default the task's own data set, else one or a local
            folder in its layout, or "builtin".
        dataset_name: without a task, any data set of the Hub or a folder, by name and columns.
        dataset_config: its configuration; default the task, or the only one.
        train_file, validation_file, test_file: own data in place of both; kinds by suffix, see
            :func:`logitmix_hf.data.rows.read_columns`.
        text_columns: one or two. Default: the columns that hold texts beside the label, when there are one or two.
        label_column: default "label", else "labels".
        regression: True: integer labels are values. False: real numbers are classes. See
            :func:`logitmix_hf.data.labels.read_labels`, which also says how labels are ordered.
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
        UserError: when made, for numbers out of range, requests that contradict themselves, and unknown tasks. Nothing
            is read.
    """

    task: str | None = None
    dataset_name: str | None = None
    dataset_config: str | None = None
    train_file: str | Path | None = None
    validation_file: str | Path | None = None
    test_file: str | Path | None = None
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    regression: bool | None = None
    validation_share: float = 0.1
    seed: int = 42
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    need_test: bool = False
    known_labels: tuple[str, ...] = ()
    calibration_share: float | None = None
    calibration_file: str | Path | None = None
    training: bool = True

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, low=0, high=0.9)
        for name in ("max_train_samples", "max_eval_samples"):
            if (value := getattr(self, name)) is not None:
                check_number(name, value, low=1)
                if not isinstance(value, int):
                    raise UserError(f"{name} must be a whole number, got {value!r}.")
        if self.files and self.need_test and self.test_file is None:
            raise UserError("Predictions for a test split need a --test_file.")
        if self.calibration_share is not None:
            check_number("calibration_split", self.calibration_share, low=0, high=0.9, open_low=True)
            if self.files and self.train_file is None:
                raise UserError("--calibration_split takes its rows from train, and there is no --train_file.")
        self._check_place()
        self._check_columns()

    @property
    def files(self) -> dict[str, str | Path]:
        """The own files by their role."""
        given = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {role: path for role, path in given.items() if path is not None}

    @property
    def place(self) -> str:
        """The data set that is read where there are no files."""
        return self.dataset_name or (TASKS[self.task].dataset if self.task else GLUE)

    @property
    def config(self) -> str | None:
        """The configuration of :attr:`place` that is read; None: the only one."""
        task = TASKS[self.task] if self.task else None
        return self.dataset_config or (None if task is None else task.config or task.name)

    @property
    def needs(self) -> Needs:
        """What is to be done with the splits."""
        return Needs(self.need_test, self.training or self.calibration_share is not None, not self.training)

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
                "No data was given: take a GLUE task (--task rte), your own file (--train_file data.csv), or any data"
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
