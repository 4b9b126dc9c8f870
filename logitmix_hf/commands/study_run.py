"""``logitmix study run STUDY``: start, resume and complete the runs of a study."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from logitmix_hf.errors import UserError, check_number, listed, nearest, say
from logitmix_hf.flags import FlagParser, option, repeated, word
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.driver import Driver
from logitmix_hf.studies.engines.engine import Engine
from logitmix_hf.studies.engines.local import Local
from logitmix_hf.studies.file import find_file, read_file
from logitmix_hf.studies.manifest import MANIFEST, Cell, Study, read_manifest
from logitmix_hf.studies.resolve import prepare, resolved_study
from logitmix_hf.studies.search import search_lines, searches_of, tried_out
from logitmix_hf.studies.search_driver import SearchDriver, load_optuna
from logitmix_hf.studies.state import RUNNING, WAITING, states_of


@dataclass(frozen=True)
class StudyRunSettings:
    """Which study, where its runs go, and which of them."""

    study: str = word(
        "STUDY", "a YAML file, or the name of a study that comes with the package", "a study", "table3.yaml"
    )
    engine: Literal["local", "ray", "slurm"] = option(
        "local", "local: this machine; ray: a Ray cluster; slurm: a queue, by submitit"
    )
    ray_address: str | None = option(None, "of the Ray cluster; default RAY_ADDRESS, else one on this machine")
    max_parallel: int | None = option(None, "runs at a time; default as many as fit")
    only: list[str] | None = repeated(None, "KEY=VALUE …: the runs with these labels alone")
    retry_failed: bool = option(False, "try those again that were given up")
    steal: bool = option(False, "take the study from another driver, which ends")
    prepare: bool = option(
        False, "fetch data, models and tokenizers of all runs first, once each; the runs then ask no network"
    )
    dry_run: bool = option(False, "check everything, list the runs, and start nothing")

    def __post_init__(self) -> None:
        check_number("--max_parallel", self.max_parallel, low=1, optional=True)


def parse(argv: Sequence[str]) -> StudyRunSettings:
    """The flags as settings."""
    return FlagParser([StudyRunSettings], prog="logitmix study run", description=__doc__).parse(argv)[0]


def main(argv: Sequence[str]) -> int:
    """The part; returns its exit code."""
    settings = parse(argv)
    study = study_named(settings.study, elsewhere=settings.engine != "local")
    cells = chosen(study, settings.only or ())
    make_engine = engine_of(settings, study)
    if study.file.search:
        load_optuna()
    if settings.prepare and (code := _prepare(study, cells, settings.engine != "local")):
        return code
    if settings.dry_run:
        states = states_of(study)
        say(*search_lines(searches_of(study, cells), study.file), out=True)
        say(*(f"{states[cell.id].kind:<9} {cell.name}" for cell in cells), out=True)
        return 0
    how = {"retry_failed": settings.retry_failed, "steal": settings.steal}
    code, pause = 0, ""
    if searches := [
        each for each in searches_of(study, cells) if not each.whole or (each.given_up and how["retry_failed"])
    ]:
        trials = replace(study, file=replace(study.file, keep=["predictions"]))
        search = SearchDriver(trials, searches, engine_of(settings, trials), **how)
        code, pause = search.run(), search.pause
        study = study_named(settings.study, elsewhere=settings.engine != "local")
        cells = chosen(study, settings.only or ())
        make_engine = engine_of(settings, study)
    ready = [cell for cell in cells if cell.words]
    if not code and not pause and ready:
        driver = Driver(study, ready, make_engine, **how)
        code, pause = driver.run(), driver.pause
    return _told(study, cells, settings.study, pause, code)


def _prepare(study: Study, cells: Sequence[Cell], elsewhere: bool) -> int:
    """Fetch what is to be read; returns 0, or the exit code of what failed."""
    states = states_of(study)
    todo = {cell.name: cell.words for cell in cells if cell.words and states[cell.id].kind != ends.DONE}
    for each in searches_of(study, cells):
        todo |= {} if each.whole else {asked.name: asked.words for asked in tried_out(study.file, each.group)}
    if todo and (code := prepare(study, todo, elsewhere=elsewhere)):
        return code
    if not any("--push_to_hub" in words for words in todo.values()):
        os.environ["HF_HUB_OFFLINE"] = "1"  # of the runs, which inherit it
    return 0


def engine_of(settings: StudyRunSettings, study: Study) -> Callable[[], Engine]:
    """How the engine is made; what it lacks is told now."""
    if settings.ray_address is not None and settings.engine != "ray":
        raise UserError(f"--ray_address {settings.ray_address} needs --engine ray.")
    program = study.file.launch.program
    if settings.engine == "ray":
        from logitmix_hf.studies.engines.ray import Ray

        return lambda: Ray(study, settings.max_parallel, program, address=settings.ray_address)
    if settings.engine == "slurm":
        from logitmix_hf.studies.engines.slurm import Slurm

        slurm = Slurm(study, settings.max_parallel, program)
        return lambda: slurm
    local = Local(study, settings.max_parallel, program)
    return lambda: local


def study_named(name: str, *, elsewhere: bool = False) -> Study:
    """The study of a file, by path or name, or of the folder of one that was begun, with every run read and checked."""
    folder = Path(name)
    file = read_manifest(folder).file if (folder / MANIFEST).is_file() else read_file(find_file(name))
    return resolved_study(file, elsewhere=elsewhere)


def chosen(study: Study, only: Sequence[str]) -> list[Cell]:
    """The runs whose labels are as asked: of one key any value, of several keys all.

    Raises:
        UserError: an unknown key or value, or no run is left.
    """
    wanted: dict[str, set[str]] = {}
    for each in only:
        key, sign, value = each.partition("=")
        known = sorted({name for cell in study.live for name in cell.labels})
        if not sign or key not in known:
            raise UserError(f"--only {each}: give KEY=VALUE.{nearest(key, known)} Keys: {', '.join(known)}.")
        values = sorted({str(cell.labels[key]) for cell in study.live if key in cell.labels})
        if value not in values:
            raise UserError(
                f"--only {each}: no run has it.{nearest(value, values)} Values: {listed(values, quote=False)}."
            )
        wanted.setdefault(key, set()).add(value)
    cells = [cell for cell in study.live if all(str(cell.labels.get(key)) in values for key, values in wanted.items())]
    if not cells:
        raise UserError(f"--only {' '.join(only)}: no run has all of that.")
    return cells


def _told(study: Study, cells: Sequence[Cell], asked: str, pause: str, code: int) -> int:
    """The last lines; returns the exit code. asked: the study as the user calls it."""
    states = states_of(study)
    of_these = {cell.id: states[cell.id] for cell in cells}
    done = sum(state.kind == ends.DONE for state in of_these.values())
    for cell in cells:
        state = of_these[cell.id]
        if state.kind not in (ends.DONE, RUNNING, WAITING):
            say(f"{state.kind}: {cell.name}{': ' + state.line if state.line else ''}")
        if state.push_failed:
            say(f"trained and not pushed: logitmix push {cell.folder}")
    searches = searches_of(study, cells)
    for each in searches:
        if each.whole and each.best is None:
            say(f"nothing was chosen for {each.group.name}: none of its {len(each.trials)} trials has a score")
    say(*search_lines(searches, study.file), out=True)
    say(f"{done} of {len(cells)} runs of {study.name} are done ({study.folder}).", out=True)
    if done == len(cells):
        say(f"side by side: logitmix study table {asked}", out=True)
        return code
    if code:
        say("interrupted: what ran has saved itself; the same command goes on.")
        return code
    given_up = sum(state.kind not in (ends.DONE, RUNNING, WAITING) for state in of_these.values())
    trials = sum(each.given_up for each in searches if each.chosen is None)
    if pause:
        say(f"error: paused: {pause.rstrip('.')}. The same command goes on.")
    elif given_up or trials:
        runs = [f"{given_up} of {len(cells)} runs"] * (given_up > 0) + [f"{trials} trials"] * (trials > 0)
        say(f"error: {' and '.join(runs)} were given up, see above; --retry_failed tries them again.")
    return 1
