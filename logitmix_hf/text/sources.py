"""Which source a data request means, and its raw splits: files, the Hub, a folder, or the generated tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from logitmix_hf.data.hub import is_folder, load_dataset_dict
from logitmix_hf.data.roles import Needs, find_judged, split_note
from logitmix_hf.data.rows import Columns, check_file, columns_of, read_columns
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, listed
from logitmix_hf.text.request import TextRequest
from logitmix_hf.text.tasks import TASKS, Task


@dataclass(frozen=True)
class TextSource:
    """Raw splits by their role.

    kind: "hub", "folder", "file" or "builtin". name: the task, the file's stem or the data set's last word. origin: what
    a card may print: never a path of this machine. note: where validation comes from, in words; empty when a share of
    train must be held out. calibration: rows of their own that the temperature is fitted on, where a file was given.
    called: what splits of validation and test are called where they come from, by their names here, where that differs.
    """

    kind: str
    name: str
    origin: str
    train: Columns | None
    validation: dict[str, Columns]
    test: dict[str, Columns] = field(default_factory=dict)
    task: Task | None = None
    note: str = ""
    calibration: Columns | None = None
    called: Mapping[str, str] = field(default_factory=dict)


def check_data(request: TextRequest) -> None:
    """Require the files and the folder of a request to be there, of a known kind, and neither empty nor binary: what
    costs nothing, for the first second of a command.

    Raises:
        UserError: as :func:`logitmix_hf.data.rows.check_file`. Nothing is read beyond the first rows of files.
    """
    for path in (*request.files.values(), *([request.calibration_file] if request.calibration_file else [])):
        check_file(path)
    if request.dataset_name and request.dataset_name != "builtin":
        is_folder(request.dataset_name)


def open_source(request: TextRequest) -> TextSource:
    """Read the splits that a request means, of these only what is needed.

    Raises:
        UserError: for what cannot be read, a split that is missing, or the Hub out of reach.
    """
    source = _open_source(request)
    if request.calibration_file is None:
        return source
    return replace(source, calibration=read_columns(request.calibration_file, broken=request.skips))


def _open_source(request: TextRequest) -> TextSource:
    needs, name = request.needs, request.place
    if request.files:
        return _from_files(request.files, needs, request.skips)
    if request.task is None:
        return _from_data_set(name, request.config, needs)
    task = TASKS[request.task]
    if name == "builtin":
        return _from_builtin(task, needs)
    found = load_splits(name, request.config)
    kind, origin = _origin(name)
    wanted = {**({"train": task.train} if needs.train else {}), **task.validation, **(task.test if needs.test else {})}
    for split in wanted.values():
        if split not in found:
            raise UserError(f"{name} has no split {split!r} for the task {task.name}; it has {listed(list(found))}.")
    splits = {key: found[split] for key, split in wanted.items()}
    validation = {key: splits[key] for key in task.validation}
    test = {key: splits[key] for key in task.test if key in splits}
    note, called = split_note(task.validation.values()), {**task.validation, **task.test}
    return TextSource(kind, task.name, origin, splits.get("train"), validation, test, task, note, called=called)


def _origin(name: str) -> tuple[str, str]:
    if is_folder(name):
        return "folder", expanded(name).resolve().name
    return "hub", name


def _from_files(files: Mapping[str, str | Path], needs: Needs, skips: bool) -> TextSource:
    if needs.test and "test" not in files:
        raise UserError("--do_predict needs a --test_file.")
    if "train" not in files and "validation" not in files:
        raise UserError("Give a --train_file, or a --validation_file to judge a model on.")
    if needs.judged and "validation" not in files:
        raise UserError("There are no rows to judge the model on beside --train_file: give some as --eval_file.")
    unread = {"test": not needs.test, "train": not needs.train}
    read = {
        key: read_columns(path, broken=skips and key != "test") for key, path in files.items() if not unread.get(key)
    }
    first = Path(next(files[key] for key in ("train", "validation") if key in read))
    validation = {"validation": read["validation"]} if "validation" in read else {}
    test = {"test": read["test"]} if "test" in read else {}
    note = f"the file {Path(files['validation']).name}" if validation else ""
    called = {key: Path(path).name for key, path in files.items()}
    return TextSource("file", first.stem, first.name, read.get("train"), validation, test, note=note, called=called)


def _from_data_set(name: str, config: str | None, needs: Needs) -> TextSource:
    found = load_splits(name, config)
    called = find_judged(name, found, needs)
    kind, origin = _origin(name)
    validation = {key: found[split] for key, split in called.items()}
    train = found["train"] if needs.train else None
    test = {"test": found["test"]} if needs.test and "test" not in validation else {}
    word = config or origin.rpartition("/")[2]
    note = split_note(called.values())
    return TextSource(kind, word, origin, train, validation, test, note=note, called=called)


def _from_builtin(task: Task, needs: Needs) -> TextSource:
    from logitmix_hf.builtin.tasks import generate

    def split(name: str) -> Columns:
        table = pa.table(generate(task.name, name))
        return Columns(f"split {name!r} of builtin {task.name}", table)

    validation = {key: split(name) for key, name in task.validation.items()}
    test = {key: split(name) for key, name in task.test.items()} if needs.test else {}
    train, note = split(task.train) if needs.train else None, split_note(task.validation.values())
    called = {**task.validation, **task.test}
    return TextSource("builtin", task.name, "builtin", train, validation, test, task, note, called=called)


def load_splits(name: str, config: str | None) -> dict[str, Columns]:
    """Every split of a data set of the Hub, or of a folder in its layout, by its name.

    Raises:
        UserError: as :func:`logitmix_hf.data.hub.load_dataset_dict`.
    """
    return {
        key: columns_of(f"split {key!r} of {name}", split.with_format("arrow")[:], split.features)
        for key, split in load_dataset_dict(name, config).items()
    }
