"""``studies/<study>/study.json``: which runs a study has, by their ids. How far each is stands in its own folder alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError, nearest, one_line
from logitmix_hf.reporting.files import to_json
from logitmix_hf.studies.file import StudyFile, find_file, parse_file, read_file

MANIFEST = "study.json"
FORMAT = "logitmix_hf study 1"
HOME = Path("studies")
TRIALS = "trials"

Label = str | int | float


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        id: of its resolved arguments; see :mod:`logitmix_hf.studies.identity`.
        labels: what tells it apart, by axis: always ``task`` and ``method`` (of a case, its name), ``seed`` where given.
        words: its command line without the program: ``["--task", "rte", …, "--output_dir", …]``; none of a run whose flags are
            searched still.
        folder: of the run.
        dropped: the file does not name it any more; what it left stays.
        key: of the words that the id was made for; of a trial, of its search.
    """

    id: str
    labels: dict[str, Label]
    words: list[str]
    folder: Path
    dropped: bool = False
    key: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name


@dataclass(frozen=True)
class Study:
    """A study that was begun.

    Attributes:
        folder: ``studies/<name>``.
        command: ``glue`` or ``vision``.
        compare: ``baseline`` (may be missing) and ``metrics``.
        jobs: ids of SLURM jobs by the id of the run.
        trials: of searches, in the order in which they were asked for. Lists and jobs grow while a driver is at work.
    """

    name: str
    folder: Path
    command: str
    compare: dict[str, Any]
    cells: list[Cell]
    file: StudyFile
    jobs: dict[str, str] = field(default_factory=dict)
    trials: list[Cell] = field(default_factory=list)

    @property
    def live(self) -> list[Cell]:
        """The runs that the file names now."""
        return [cell for cell in self.cells if not cell.dropped]


def read_study(path: str | Path) -> Study:
    """A study that was begun, by its file, its folder or the name of a shipped one.

    Raises:
        UserError: there is none, it was not begun, or its manifest cannot be read.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return read_manifest(folder)
    file = read_file(find_file(str(path)))
    found = read_manifest(home_of(file))
    return Study(found.name, found.folder, file.command, file.compare, found.cells, file, found.jobs, found.trials)


def home_of(file: StudyFile) -> Path:
    """The folder of a study."""
    return HOME / file.study


def read_manifest(folder: Path) -> Study:
    """The study in a folder.

    Raises:
        UserError: there is no manifest, or none that can be read.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format") != FORMAT:
            raise ValueError(f"its format is {values.get('format')!r}, not {FORMAT!r}")
        cells = [_cell(entry, folder / "runs") for entry in values["cells"]]
        trials = [_cell(entry, folder / TRIALS) for entry in values.get("trials", [])]
        file = parse_file(values["text"], values.get("source", str(path)))
        return Study(file.study, folder, file.command, file.compare, cells, file, dict(values.get("jobs", {})), trials)
    except FileNotFoundError:
        raise UserError(
            f"The study {folder.name!r} was not begun here: there is no {path}. Begin it by `logitmix study run`."
        ) from None
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise UserError(
            f"{str(path)!r} cannot be read ({type(problem).__name__}: {one_line(problem)}): move it away, and `logitmix study"
            " run` writes it again; runs that are done stay done."
        ) from None


def _cell(entry: Mapping[str, Any], folder: Path) -> Cell:
    return Cell(
        id=str(entry["id"]),
        labels=dict(entry["labels"]),
        words=[str(word) for word in entry["words"]],
        folder=folder / Path(str(entry["folder"])).name,
        dropped=bool(entry.get("dropped")),
        key=str(entry.get("key", "")),
    )


def _entry(cell: Cell) -> dict[str, Any]:
    return {**vars(cell), "folder": cell.name}


def write_manifest(study: Study) -> None:
    """Write the manifest, whole or not at all."""
    text = study.file.text
    values = {
        "format": FORMAT,
        "study": study.name,
        "command": study.command,
        "source": study.file.source,
        "text": text,
        "digest": hashlib.sha256(text.encode("utf-8")).hexdigest(),
        "resources": asdict(study.file.resources),
        "cells": [_entry(cell) for cell in study.cells],
        **({"trials": [_entry(cell) for cell in study.trials]} if study.trials else {}),
        "jobs": study.jobs,
    }
    write_atomic(study.folder / MANIFEST, to_json(values).encode("utf-8"))


def merged(old: Sequence[Cell], new: Sequence[Cell]) -> list[Cell]:
    """The runs of an edited file: the new ones in their order, then those that vanished, marked as dropped."""
    now = {cell.id for cell in new}
    gone = [cell for cell in old if cell.id not in now and cell.words]
    return [*new, *(replace(cell, dropped=True) for cell in gone)]


def known_ids(cells: Sequence[Cell]) -> Mapping[str, Cell]:
    """The runs by the words that their ids were made for."""
    return {cell.key: cell for cell in cells if cell.key}


def check_baseline(compare: Mapping[str, Any], methods: Collection[str]) -> None:
    """Require the baseline, where one is named, to be a method of the study.

    Raises:
        UserError: naming the methods that there are.
    """
    name = compare.get("baseline")
    if name is not None and str(name) not in methods:
        raise UserError(
            f"compare: baseline names {str(name)!r}, which no run of the study has.{nearest(str(name), methods)} Methods:"
            f" {', '.join(methods)}."
        )
