"""The searched flags of a study: which runs share a search, the trials of each, and what they chose. Read from files alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from logitmix_hf.config_file import with_config
from logitmix_hf.evaluation.directions import better
from logitmix_hf.flag_words import flag_words
from logitmix_hf.reporting.folder import record_of
from logitmix_hf.reporting.results import RESULTS
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.cells import Asked, asked_runs
from logitmix_hf.studies.file import Flags, StudyFile
from logitmix_hf.studies.identity import folder_name, words_key
from logitmix_hf.studies.manifest import TRIALS, Cell, Label, Study
from logitmix_hf.studies.state import RUNNING, WAITING, State, state_of

DEFAULT = "eval_nll_refined"
HEADLINE = "headline"
BESIDE = (
    "do_predict",
    "test_file",
    "shift",
    "ood",
    "corrupted",
    "corruptions",
    "submission",
    "push_to_hub",
    "report_to",
)
"""Flags of the runs of a table that a trial goes without: they judge on other rows than the share held out, or publish."""


@dataclass(frozen=True)
class Group:
    """The runs that differ in their seed alone, and share a search.

    key: of what is searched and how; trials of another key are of another search. flags: of a trial, but for what it draws.
    labels: of the runs, without the seed.
    """

    key: str
    flags: Flags
    labels: dict[str, Label]

    @property
    def name(self) -> str:
        """For messages."""
        return " ".join(str(value) for value in self.labels.values()) or "the run"


@dataclass(frozen=True)
class Trial:
    """One trial as its files show it. score: of the objective, where it is done."""

    cell: Cell
    state: State
    score: float | None = None
    key: str = ""

    @property
    def loss(self) -> float:
        """What is made small; infinite where there is no score."""
        return -(better(self.key) or 1) * self.score if self.score is not None else float("inf")


@dataclass(frozen=True)
class Found:
    """How far a search is. whole: every trial was asked for and has ended. names: of the searched flags."""

    group: Group
    trials: Sequence[Trial]
    whole: bool
    names: Sequence[str] = ()

    @property
    def best(self) -> Trial | None:
        """The first of the best trials; None where none is done."""
        done = [trial for trial in self.trials if trial.score is not None]
        return min(done, key=lambda trial: trial.loss) if done else None

    def count(self, kind: str) -> int:
        """Of trials in a state."""
        return sum(trial.state.kind == kind for trial in self.trials)

    @property
    def chosen(self) -> Flags | None:
        """What the best trial of a whole search drew."""
        best = self.best if self.whole else None
        return None if best is None else {name: best.cell.labels[name] for name in self.names}

    @property
    def given_up(self) -> int:
        """Trials without a score, that are not tried again."""
        return sum(trial.state.kind not in (ends.DONE, RUNNING, WAITING) for trial in self.trials)


def groups_of(file: StudyFile, asked: Sequence[Asked]) -> dict[str, Group]:
    """The searches of a study by the name of their runs without the seed; none where nothing is searched."""
    if not file.search:
        return {}
    seeds = {str(run.flags.get("seed", 42)) for run in asked}
    seed = next(number for number in range(len(seeds) + 1) if str(number) not in seeds)
    how = [
        str(file.launch.processes),
        file.objective,
        *(f"{name} {space.kind} {list(space.values)!r}" for name, space in file.search.items()),
    ]
    found: dict[str, Group] = {}
    for run in asked:
        flags = {name: value for name, value in run.flags.items() if name not in BESIDE}
        flags |= {"seed": seed, "hold_out": file.hold_out, "bootstrap": 0}
        if flags.keys() & {"config", "recipe"}:  # whose file may publish
            flags["push_to_hub"] = False
        labels = without_seed(run.labels)
        key = words_key(file.command, [*with_config(flag_words(flags)), *how])
        found.setdefault(name_of(labels), Group(key[:12], flags, labels))
    return found


def without_seed(labels: Mapping[str, Label]) -> dict[str, Label]:
    """What the runs of a search share."""
    return {name: value for name, value in labels.items() if name != "seed"}


def name_of(labels: Mapping[str, Label]) -> str:
    """The runs of one search by their labels."""
    return json.dumps(without_seed(labels))


def tried_out(file: StudyFile, group: Group) -> list[Asked]:
    """Trials in which every value of a choice and both ends of every range stand once: what is checked before any starts."""
    most = max(len(space.values) for space in file.search.values())
    points = [{name: s.values[number % len(s.values)] for name, s in file.search.items()} for number in range(most)]
    return [Asked({**group.flags, **point}, {**group.labels, **point}) for point in points]


def trial_cell(study: Study, group: Group, number: int, drawn: Flags) -> Cell:
    """The run of a trial: its id is of its words, so that the same draw is the same run."""
    words = flag_words({**group.flags, **drawn})
    identity = words_key(f"{study.command} {study.file.launch.processes}", with_config(words))[:12]
    name = folder_name(group.labels["task"], group.labels["method"], group.flags["seed"], identity)
    folder = study.folder / TRIALS / name
    labels = {**group.labels, "trial": number, **drawn}
    return Cell(identity, labels, [*words, "--output_dir", folder.as_posix()], folder, key=group.key)


def searches_of(study: Study, cells: Sequence[Cell] | None = None) -> list[Found]:
    """How far each search of a study is, with the labels of its runs. cells: of these runs alone."""
    asked = asked_runs(study.file)
    groups, wanted = groups_of(study.file, asked), dict[str, Group]()
    for run, cell in zip(asked, study.live, strict=False) if groups else ():
        if cells is None or cell in cells:
            group = groups[name_of(run.labels)]
            wanted[group.key] = replace(group, labels=without_seed(cell.labels))
    return [found_in(study.file, group, study.trials) for group in wanted.values()]


def found_in(file: StudyFile, group: Group, trials: Sequence[Cell]) -> Found:
    """How far a search is, of the trials of a study."""
    own = [read_trial(file, cell) for cell in trials if cell.key == group.key][: file.trials]
    open_ = any(trial.state.kind in (RUNNING, WAITING) for trial in own)
    return Found(group, own, len(own) >= file.trials and not open_, list(file.search))


def read_trial(file: StudyFile, cell: Cell) -> Trial:
    """A trial by its folder."""
    state = state_of(cell, file.retries)
    if state.kind != ends.DONE:
        return Trial(cell, state)
    key, score = objective_of(cell.folder, file.objective)
    if score is None:
        state = replace(state, kind=ends.MISTAKE, line=f"it has no score {key}")
    return Trial(cell, state, score, key)


def search_lines(searches: Sequence[Found], file: StudyFile) -> list[str]:
    """How far the searches are, and what they chose, for a terminal."""
    if not searches:
        return []
    trials = sum(len(each.trials) for each in searches)
    done, up, runs = (
        sum(n) for n in zip(*((f.count(ends.DONE), f.given_up, f.count(RUNNING)) for f in searches), strict=True)
    )
    counts = [f"{done} of {len(searches) * file.trials} trials are done"]
    counts += [
        f"{n} {what}" for n, what in ((runs, "running"), (trials - done - up - runs, "waiting"), (up, "given up")) if n
    ]
    lines = [f"search of {searched(file)}: {', '.join(counts)}"]
    return lines + [
        f"chosen for {each.group.name}: {told_flags(each.chosen)} ({each.best.key} {each.best.score:.4f})"
        for each in searches
        if each.chosen is not None and each.best is not None
    ]


def searched(file: StudyFile) -> str:
    """What is searched, in words."""
    return "; ".join(f"{name} in {space.told}" for name, space in file.search.items())


def told_flags(flags: Flags) -> str:
    """As words of a command line."""
    return " ".join(flag_words(flags)) or "no flag"


def objective_of(folder: Path, asked: str) -> tuple[str, float | None]:
    """The key and the value of the objective of a finished run. asked: a score, ``headline``, or nothing for the default."""
    try:
        scores = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        first = str(((record_of(folder) or {}).get("data") or {}).get("metrics", [""])[0])
    except (OSError, ValueError, TypeError, LookupError):
        return asked or DEFAULT, None
    key = asked or (DEFAULT if DEFAULT in scores else HEADLINE)
    key = f"eval_{(first if key == HEADLINE else key).removeprefix('eval_')}"
    value = scores.get(key)
    return key, float(value) if isinstance(value, (int, float)) and value == value else None
