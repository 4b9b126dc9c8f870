"""From a study file to its runs: every command line is read by the command's own parser before the first one starts.

That needs torch and transformers, seconds and hundreds of megabytes, which a driver of days need not hold: another process
reads, answers and ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logitmix_hf.errors import UserError, bounded, say
from logitmix_hf.flags import with_recipe
from logitmix_hf.studies.cells import Asked, asked_runs
from logitmix_hf.studies.child import child_environment
from logitmix_hf.studies.file import StudyFile
from logitmix_hf.studies.identity import folder_name, words_key
from logitmix_hf.studies.manifest import (
    MANIFEST,
    Cell,
    Study,
    check_baseline,
    home_of,
    known_ids,
    merged,
    read_manifest,
)
from logitmix_hf.studies.search import Found, found_in, groups_of, name_of, tried_out

CHECKER = (sys.executable, "-m", "logitmix_hf.commands.study_check")


@dataclass(frozen=True)
class Answer:
    """What the command's parser says of a command line: the run's id, the data's name, the method, the seed, and whether that
    draws the rows to judge on."""

    id: str
    task: str
    method: str
    seed: int
    drawn: bool = False


def resolved_study(file: StudyFile, *, elsewhere: bool = False, checker: Sequence[str] = CHECKER) -> Study:
    """The study with an id for each run, old runs kept, nothing written.

    Args:
        file: as read.
        elsewhere: runs go to other machines, which may have the GPU that this one lacks.
        checker: the program that reads command lines.

    Raises:
        UserError: the first mistake in any run, with the run's name; or two runs that are one and the same.
    """
    home = home_of(file)
    old = read_manifest(home) if (home / MANIFEST).exists() else None
    asked = asked_runs(file)
    trials = old.trials if old is not None else []
    groups = groups_of(file, asked)
    searches = {group.key: found_in(file, group, trials) for group in groups.values()}
    known = known_ids(old.cells) if old is not None and old.command == file.command else {}
    # What the parser is asked: new runs, and of a search that has no trial yet all that it may come to.
    questions: dict[str, Asked] = {}
    runs: list[tuple[Asked, str, Found | None]] = []
    for run in asked:
        found = searches[groups[name_of(run.labels)].key] if groups else None
        if found is None or found.chosen is not None:
            run = run if found is None else Asked({**run.flags, **(found.chosen or {})}, run.labels)
            try:
                key = words_key(_command(file), with_recipe(run.words))
            except UserError as mistake:
                raise UserError(_of_run(str(mistake), file, run)) from None
            runs.append((run, key, None))
            questions |= {} if key in known else {key: run}
        else:
            runs.append((run, found.group.key, found))
            tried = [] if found.trials else tried_out(file, found.group)
            questions |= {f"{found.group.key}-{number}": each for number, each in enumerate(tried)}
    asked_now = list(questions.values())
    answers = dict(zip(questions, _answers(file, asked_now, elsewhere, checker), strict=True) if asked_now else ())
    _tell_drawn(file, answers.values())
    if file.launch.processes > 1:
        answers = {key: replace(each, id=words_key(_command(file), [each.id])[:12]) for key, each in answers.items()}
    cells: list[Cell] = []
    for run, key, found in runs:
        if found is not None:
            cells.append(_undecided(home, run, found, answers.get(f"{key}-0")))
        elif key in answers:
            cells.append(_cell(home, run, key, answers[key], None))
        else:
            before = known[key]
            task, method = str(before.labels["task"]), str(before.labels["method"])
            cells.append(_cell(home, run, key, Answer(before.id, task, method, 0), before.folder.name))
    _check_different(file, asked, cells)
    before = {cell.id: cell for cell in old.cells if cell.words} if old is not None else {}
    # An id that was there under other words (a flag that counts for nothing was added) keeps its folder.
    for number, cell in enumerate(cells):
        if cell.id in before:
            place = home / "runs" / before[cell.id].name
            cells[number] = replace(cell, words=[*cell.words[:-1], place.as_posix()], folder=place)
    every = merged(list(before.values()), cells)
    try:
        check_baseline(file.compare, dict.fromkeys(str(cell.labels["method"]) for cell in every if not cell.dropped))
    except UserError as mistake:
        raise UserError(f"{file.source}: {mistake}") from None
    jobs = old.jobs if old is not None else {}
    return Study(file.study, home, file.command, file.compare, every, file, jobs, trials)


def _tell_drawn(file: StudyFile, answers: Iterable[Answer]) -> None:
    """A line where seeds will be judged on different rows, which no table sets side by side."""
    seeds = {answer.seed for answer in answers if answer.drawn}
    if len(seeds) > 1:
        say(
            f"{file.source}: each of {len(seeds)} seeds is judged on other rows, which it draws out of train, and a table does"
            " not set them side by side. Give validation_file (of images: a folder val, or validation_share: 0 for test)."
        )


def _command(file: StudyFile) -> str:
    """Several processes make larger batches: it is another run."""
    count = file.launch.processes
    return file.command if count == 1 else f"{file.command} in {count} processes"


def _cell(home: Path, run: Asked, key: str, answer: Answer, folder: str | None) -> Cell:
    labels = {"task": answer.task, "method": answer.method, **run.labels}
    labels |= {name: run.flags[name] for name in ("seed",) if run.flags.get(name) is not None}
    if "dataset" in run.labels:  # what images call it
        labels["task"] = run.labels["dataset"]
    name = folder or folder_name(labels["task"], labels["method"], labels.get("seed", answer.seed), answer.id)
    place = home / "runs" / name
    return Cell(answer.id, labels, [*run.words, "--output_dir", place.as_posix()], place, key=key)


def _undecided(home: Path, run: Asked, found: Found, answer: Answer | None) -> Cell:
    """A run whose flags are searched still: it has labels and no words."""
    if answer is None:
        labels = found.trials[0].cell.labels
        answer = Answer("", str(labels["task"]), str(labels["method"]), 0)
    cell = _cell(home, run, found.group.key, answer, None)
    identity = words_key("", [found.group.key, *run.words])[:12]
    return replace(cell, id=identity, words=[], folder=cell.folder.with_name(f"{cell.name}searched"))


def _check_different(file: StudyFile, asked: Sequence[Asked], cells: Sequence[Cell]) -> None:
    seen: dict[str, Asked] = {}
    for run, cell in zip(asked, cells, strict=True):
        if cell.id in seen:
            raise UserError(
                f"{file.source}: two runs are one and the same: ({seen[cell.id].name}) and ({run.name}) differ in nothing that"
                " moves a weight or a score. Leave one out, by exclude: or by another value."
            )
        seen[cell.id] = run


def prepare(study: Study, asked: Mapping[str, Sequence[str]], *, elsewhere: bool) -> int:
    """Fetch what runs read, by their names and words, in a process that ends; returns its exit code. Seeds read the same."""
    runs: dict[tuple[str, ...], list[object]] = {}
    for name, words in asked.items():
        skipped = {
            place + step for place, word in enumerate(words) for step in (0, 1) if word in ("--seed", "--output_dir")
        }
        few = tuple(word for place, word in enumerate(words) if place not in skipped)
        runs.setdefault(few, [name, few])
    question = {"command": study.command, "elsewhere": elsewhere, "runs": list(runs.values())}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(question, file)
        file.flush()
        return subprocess.run([*CHECKER, file.name], env=_alone(), check=False).returncode


def _alone() -> dict[str, str]:
    """The environment of a process that belongs to no group of them."""
    alone = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return {name: value for name, value in child_environment().items() if name not in alone}


def _answers(file: StudyFile, runs: Sequence[Asked], elsewhere: bool, checker: Sequence[str]) -> list[Answer]:
    question = {"command": file.command, "elsewhere": elsewhere, "runs": [run.words for run in runs]}
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "asked.json", Path(folder) / "told.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        done = subprocess.run(
            [*checker, str(asked), str(told)],
            env=_alone(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode or not told.is_file():
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise RuntimeError(f"the runs could not be read (exit code {done.returncode}): {bounded(last)}")
        answer = json.loads(told.read_text(encoding="utf-8"))
    if "mistake" in answer:
        raise UserError(_of_run(answer["mistake"], file, runs[answer["run"]]))
    return [Answer(**each) for each in answer["runs"]]


def _of_run(mistake: str, file: StudyFile, run: Asked) -> str:
    return f"{mistake.rstrip('.')} (run {run.name} of {file.source})."
