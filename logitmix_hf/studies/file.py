"""The file of a study: YAML that names flags, and what it may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, check_number, listed, nearest, one_line
from logitmix_hf.evaluation.directions import BETTER, better
from logitmix_hf.studies.launch import Launch, read_launch
from logitmix_hf.studies.space import Space, read_space
from logitmix_hf.yaml_text import load_mapping

Flags = dict[str, Any]
"""A value for each flag: a scalar, a list of them for a flag of several words, None for a flag that is left out."""

COMMANDS = ("glue", "vision")
KEPT = ("predictions", "card", "model", "checkpoints")
OURS = ("output_dir", "resume", "overwrite", "prepare", "help")
"""Flags that the study sets itself, or that train nothing."""
FOR_TABLE = ("task", "dataset", "dataset_name", "method", "seed", "hold_out")
"""Flags that no search chooses."""


@dataclass(frozen=True)
class Resources:
    """What one process of a run takes. ``gpus``: devices, a share of one below 1; None: one where there are any. ``minutes``:
    of SLURM. ``processes``: of a run, by ``launch:``."""

    gpus: float | None = None
    cpus: int = 1
    memory_gb: float | None = None
    minutes: float = 60
    processes: int = 1

    def __post_init__(self) -> None:
        if self.gpus is not None:
            check_number("resources: gpus", self.gpus, low=0)
            if self.gpus > 1 and self.gpus != int(self.gpus):
                raise UserError(f"resources: gpus must be a whole number, or a share below 1, got {self.gpus!r}.")
        check_number("resources: cpus", self.cpus, low=1)
        if self.cpus != int(self.cpus):
            raise UserError(f"resources: cpus must be a whole number, got {self.cpus!r}.")
        check_number("resources: memory_gb", self.memory_gb, low=0, open_low=True, optional=True)
        check_number("resources: minutes", self.minutes, low=0, open_low=True)
        if self.processes > 1 and 0 < (self.gpus or 0) < 1:
            raise UserError(
                f"resources: gpus {self.gpus:g} is a share of a device, which several processes cannot have."
            )

    @property
    def all_cpus(self) -> int:
        """Cores of all processes of a run."""
        return self.cpus * self.processes

    def all_gpus(self, there_are_some: bool) -> float:
        """Devices of all processes of a run."""
        return (int(there_are_some) if self.gpus is None else self.gpus) * self.processes


@dataclass(frozen=True)
class StudyFile:
    """What the file says, checked as far as that needs no parser of the command.

    Attributes:
        study: the name; runs go to ``studies/<name>/runs``.
        fixed: flags of every run.
        grid: the values of each axis; a run for each combination.
        cases: named sets of flags, each times the axes that it does not set.
        exclude: combinations that are left out.
        override: ``(when, set)``: flags for the runs that match.
        search: what each flag is searched in, for every method and all other axes but the seed.
        trials: of each.
        objective: the score that chooses, of a run; ``headline``: the task's own.
        hold_out: the share of train that trials are judged on.
        launch: how a run of several processes is started.
        text, source: the file itself, and what it is called in messages.
    """

    study: str
    command: str = "glue"
    fixed: Flags = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    cases: dict[str, Flags] = field(default_factory=dict)
    exclude: list[Flags] = field(default_factory=list)
    override: list[tuple[Flags, Flags]] = field(default_factory=list)
    resources: Resources = field(default_factory=Resources)
    slurm: dict[str, Any] = field(default_factory=dict)
    retries: int = 2
    compare: dict[str, Any] = field(default_factory=dict)
    keep: list[str] = field(default_factory=lambda: ["predictions", "card"])
    search: dict[str, Space] = field(default_factory=dict)
    trials: int = 0
    objective: str = ""
    hold_out: float = 0.1
    launch: Launch = field(default_factory=Launch)
    text: str = ""
    source: str = ""


SHIPPED = Path(__file__).parent / "shipped"
"""Studies that come with the package, by name."""


def find_file(name: str) -> Path:
    """The file of a study: a path, or the name of one that is shipped.

    Raises:
        UserError: there is neither.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):
        pass
    shipped = {each.stem: each for each in sorted(SHIPPED.glob("*.yaml"))}
    if name in shipped:
        return shipped[name]
    near = nearest(name, shipped)
    raise UserError(
        f"There is no study file {listed([name])}.{near} Give the path of a YAML file"
        + (f", or one of {', '.join(shipped)}." if shipped else ".")
    )


def read_file(path: Path) -> StudyFile:
    """Read and check a study file.

    Raises:
        UserError: it cannot be read, is no YAML, or says what a study cannot mean; the message begins with its path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise UserError(f"{path}: cannot be read as text: {one_line(problem)}.") from None
    return parse_file(text, str(path))


def parse_file(text: str, source: str) -> StudyFile:
    """As :func:`read_file`, of text that is there already."""
    try:
        return _checked(load_mapping(text), text, source)
    except UserError as mistake:
        raise UserError(f"{source}: {mistake}") from None


def _checked(values: dict[Any, Any], text: str, source: str) -> StudyFile:
    _known(values, [each.name for each in fields(StudyFile) if each.name not in ("text", "source")], "key")
    name = values.get("study")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UserError(
            f"study: needs a name of letters, digits, '.', '_' and '-', at most 64, got {_short(name)}"
            " (it becomes the folder studies/<name>)."
        )
    command = values.get("command", "glue")
    if command not in COMMANDS:
        raise UserError(
            f"command: must be {' or '.join(COMMANDS)}, got {_short(command)}.{nearest(str(command), COMMANDS)}"
        )
    fixed = _flags(values.get("fixed"), "fixed")
    grid = _grid(values.get("grid"), fixed)
    cases = {
        _name(case): _flags(flags, f"cases: {case}", empty=True)
        for case, flags in _mapping(values.get("cases"), "cases").items()
    }
    launch = read_launch(_mapping(values.get("launch"), "launch"))
    override = [_override(each) for each in _list(values.get("override"), "override")]
    given = [("fixed", fixed), ("grid", grid), *((f"cases: {case}", flags) for case, flags in cases.items())]
    search = _search(values.get("search"), [*given, *(("override", flags) for _, flags in override)])
    if not grid and not cases and not search:
        raise UserError("there is nothing to run: give a grid: of axes, or cases: of flags.")
    resources, retries = _mapping(values.get("resources"), "resources"), values.get("retries", 2)
    _known(resources, [each.name for each in fields(Resources) if each.name != "processes"], "key of resources:")
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise UserError(f"retries: must be a whole number, 0 or more, got {_short(retries)}.")
    return StudyFile(
        study=name,
        command=command,
        fixed=fixed,
        grid=grid,
        cases=cases,
        exclude=[_flags(each, "exclude", several=True) for each in _list(values.get("exclude"), "exclude")],
        override=override,
        resources=Resources(**resources, processes=launch.processes),
        launch=launch,
        slurm=_mapping(values.get("slurm"), "slurm"),
        retries=retries,
        compare=_compare(values.get("compare")),
        keep=_keep(values.get("keep", ["predictions", "card"])),
        search=search,
        **_searched_how(values, bool(search)),
        text=text,
        source=source,
    )


def _grid(value: Any, fixed: Flags, what: str = "grid") -> dict[str, list[Any]]:
    axes = _flags(value, what, several=True, empty=True)
    for name, choices in axes.items():
        if not isinstance(choices, list):
            raise UserError(f"{what}: {name} needs a list of values, got {_short(choices)}: write [{_short(choices)}].")
        if not choices:
            raise UserError(f"{what}: {name} has no value.")
        if len({repr(each) for each in choices}) < len(choices):
            raise UserError(f"{what}: {name} names a value twice: {_short(choices)}.")
        if name in fixed:
            raise UserError(f"{name} stands in fixed: and in grid: give it once.")
    return axes


def _search(value: Any, given: list[tuple[str, Flags]]) -> dict[str, Space]:
    entry = _mapping(value, "search")
    choices = _grid({name: each for name, each in entry.items() if not isinstance(each, Mapping)}, {}, "search")
    spaces = {_flag(name, "search"): each for name, each in entry.items()}
    for name in spaces:
        if name in FOR_TABLE:
            raise UserError(f"search: {name} is what a table compares, and not chosen by a score: put it into grid.")
        for place, flags in given:
            if name in flags:
                raise UserError(f"{name} stands in {place}: and in search: give it once.")
    if value is not None and not spaces:
        raise UserError("search: names no flag.")
    return {
        name: Space("choice", tuple(choices[name])) if name in choices else read_space(name, each)
        for name, each in spaces.items()
    }


def _searched_how(values: Mapping[str, Any], search: bool) -> dict[str, Any]:
    for name in ("trials", "objective", "hold_out"):
        if name in values and not search:
            raise UserError(f"{name}: says how flags are searched, and there is no search: to say which.")
    if not search:
        return {}
    trials, objective = values.get("trials"), str(values.get("objective") or "")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise UserError(f"trials: must be a whole number, 1 or more, got {_short(trials)}: how many each method gets.")
    if objective and objective != "headline" and better(objective) not in (1, -1):
        known = ["headline", *(name for name, way in BETTER.items() if way)]
        raise UserError(
            f"objective: {_short(objective)} is no score to choose by.{nearest(objective.removeprefix('eval_'), known)}"
            " Default eval_nll_refined, of regressions headline."
        )
    hold_out = values.get("hold_out", StudyFile.hold_out)
    check_number("hold_out", hold_out, low=0, high=0.9, open_low=True)
    return {"trials": trials, "objective": objective, "hold_out": hold_out}


def _override(value: Any) -> tuple[Flags, Flags]:
    entry = _mapping(value, "override")
    _known(entry, ["when", "set"], "key of override:")
    if "when" not in entry or "set" not in entry:
        raise UserError(f"override: needs `when:` and `set:`, got {_short(value)}.")
    return _flags(entry["when"], "override: when", several=True), _flags(entry["set"], "override: set")


def _compare(value: Any) -> dict[str, Any]:
    entry = _mapping(value, "compare")
    _known(entry, ["baseline", "metrics"], "key of compare:")
    metrics = entry.get("metrics", ["headline"])
    if not isinstance(metrics, list) or not metrics or not all(isinstance(each, str) for each in metrics):
        raise UserError(f"compare: metrics needs a list of names, got {_short(metrics)}.")
    if twice := [name for name in dict.fromkeys(metrics) if metrics.count(name) > 1]:
        raise UserError(f"compare: metrics names {listed(twice)} twice.")
    for name in metrics:
        if name != "headline" and better(name.removesuffix("_at_t")) is None:
            known = ["headline", *BETTER]
            raise UserError(
                f"compare: metrics names {_short(name)}, which is no score.{nearest(name.removeprefix('eval_'), known)} Known:"
                f" {', '.join(known)}."
            )
    if not isinstance(entry.get("baseline", ""), (str, int, float)) or isinstance(entry.get("baseline"), bool):
        raise UserError(f"compare: baseline needs the name of a method or case, got {_short(entry['baseline'])}.")
    return {**entry, "metrics": metrics}


def _keep(value: Any) -> list[str]:
    kept = _list(value, "keep")
    for each in kept:
        if each not in KEPT:
            raise UserError(f"keep: knows {', '.join(KEPT)}, got {_short(each)}.{nearest(str(each), KEPT)}")
    if "predictions" not in kept:
        raise UserError("keep: must name predictions: the table is made of them.")
    return kept


def _flags(value: Any, what: str, *, several: bool = False, empty: bool = False) -> Flags:
    """A mapping of flags; ``several``: a list holds values to choose from, of which each may be a list itself."""
    flags = {}
    for name, given in _mapping(value, what).items():
        flag = _flag(name, what)
        for each in given if several and isinstance(given, list) else [given]:
            _check_value(each, f"{what}: {flag}")
        if flag in flags:
            raise UserError(f"{what}: {flag} is given twice, with - and with _: give it once.")
        flags[flag] = given
    if not flags and value is not None and not empty:
        raise UserError(f"{what}: names no flag.")
    return flags


def _flag(name: Any, what: str) -> str:
    flag = _name(name).replace("-", "_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", flag):
        raise UserError(f"{what}: {_short(name)} is no name of a flag; write it without dashes in front.")
    if flag in OURS:
        raise UserError(f"{what}: {flag} is the study's own business: leave it out.")
    return flag


def _check_value(value: Any, what: str) -> None:
    inner = value if isinstance(value, list) else [value]
    for each in inner:
        if isinstance(value, list) and each is None:
            raise UserError(f"{what}: an empty word in {_short(value)}.")
        if each is not None and not isinstance(each, (str, int, float, bool)):
            raise UserError(
                f"{what}: flags take words and numbers, got {_short(each)}"
                + (": put it in quotes." if hasattr(each, "isoformat") else ".")
            )
        if isinstance(each, float) and math.isnan(each):
            raise UserError(f"{what}: .nan is no number that a flag takes.")
    if isinstance(value, list) and not value:
        raise UserError(f"{what}: has no value.")


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{what}: needs `key: value`, got {_short(value)}.")
    return dict(value)


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{what}: needs a list, got {_short(value)}: write [{_short(value)}].")
    return value


def _name(value: Any) -> str:
    """YAML reads ``on:`` and ``1:`` as what they look like."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{_short(value)} is no name: put it in quotes.")
    return value


def _known(values: Mapping[Any, Any], known: list[str], what: str) -> None:
    for key in values:
        if key not in known:
            raise UserError(f"there is no {what} {_short(key)}.{nearest(str(key), known)} Known: {', '.join(known)}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
