"""``report.html``, ``report.md`` and ``results.csv`` of many runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf import __version__
from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import REGRESSION
from logitmix_hf.reporting.pages import confidence
from logitmix_hf.reporting.pages.columns import further_columns, known, score_columns
from logitmix_hf.reporting.pages.drawing import Picture
from logitmix_hf.reporting.pages.numbers import Options, Scored, ScoredVariant, score
from logitmix_hf.reporting.pages.runs import Found
from logitmix_hf.reporting.pages.tables import Table, methods_table, results_csv, runs_table
from logitmix_hf.reporting.pages.tasks import Task, group
from logitmix_hf.reporting.pages.tempered import OWN
from logitmix_hf.reporting.pages.training import training
from logitmix_hf.reporting.pages.verdict import Judge
from logitmix_hf.reporting.record import now
from logitmix_hf.reporting.redact import scrub

GENERATOR = f"logitmix_hf {__version__} report"
FILES = ("report.html", "report.md", "results.csv")
NEEDED = {"plotly": "plotly", "jinja2": "jinja2"}


@dataclass(frozen=True)
class RunCard:
    """The confidence of one run: head, a line about its temperature, pictures by caption."""

    title: str
    line: str
    caution: str
    pictures: Mapping[str, Picture]


@dataclass(frozen=True)
class MethodCard:
    """One method: the first run in view, other seeds behind a fold; its training."""

    label: str
    first: RunCard | None
    others: Sequence[RunCard]
    training: Picture | None
    seeds: int


@dataclass(frozen=True)
class Section:
    """One task as the templates read it."""

    anchor: str
    title: str
    facts: Sequence[str]
    warnings: Sequence[str]
    scores: Table
    further: Table | None
    runs: Table
    temperature: str
    overview: Mapping[str, Picture]
    cards: Sequence[MethodCard]


def check_libraries() -> None:
    """Raises UserError, in one line with the command that mends it, where plotly or jinja2 is missing."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"A report needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'logitmix_hf[report]'"
        )


def check_target(folder: Path) -> None:
    """Refuse to write over what is no report of ours.

    Raises:
        UserError: the folder is a file, or holds a file of that name by somebody else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"The output folder {str(folder)!r} is a file; give --output_dir another path.")
    present = [name for name in FILES if (folder / name).exists()]
    page = folder / "report.html"
    ours = page.is_file() and b'content="logitmix_hf ' in page.read_bytes()[:2000]
    if present and not ours:
        raise UserError(
            f"The output folder {str(folder)!r} holds {', '.join(present)} that no report of logitmix wrote; it is "
            "left alone. Give another --output_dir."
        )


def write_report(found: Found, folder: Path, options: Options, title: str = "") -> list[Section]:
    """Write the three files, each whole or not at all; returns what they say.

    Raises:
        UserError: see ``check_libraries`` and ``check_target``.
    """
    check_libraries()
    check_target(folder)
    tasks = [(task, score(task, options)) for task in group(found.runs)]
    sections = [_section(number, task, methods, options) for number, (task, methods) in enumerate(tasks, start=1)]
    runs = len(found.runs)
    values = {
        "title": title or f"{runs} run{'s' if runs != 1 else ''} on {_several(len(tasks), 'task')}",
        "generator": GENERATOR,
        "made": now().replace("T", " ")[:16] + " UTC",
        "sections": sections,
        "skipped": found.skipped,
        "passed": found.passed,
        "options": options,
    }
    write_atomic(folder / "report.html", scrub(_html(values)).encode())
    write_atomic(folder / "report.md", scrub(_markdown(values)).encode())
    write_atomic(folder / "results.csv", scrub(results_csv(tasks)).encode())
    return sections


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


# --- what a section says --------------------------------------------------------------------------------------------


def _section(number: int, task: Task, methods: Sequence[ScoredVariant], options: Options) -> Section:
    judge = Judge(methods, task.metrics, options)
    columns = known(score_columns(task.problem, task.metrics), methods)
    more = known(further_columns(task.problem), methods)
    confident = task.problem != REGRESSION
    overview: dict[str, Picture] = {}
    if confident:
        if all(method.known("ece_at_t") for method in methods):
            overview["ECE as trained and after temperature"] = confidence.before_and_after(methods)
        overview["Accuracy when only the surest are answered"] = confidence.coverage(methods)
    return Section(
        f"task-{number}",
        task.title,
        _facts(task, methods),
        _warnings(task, methods),
        methods_table(f"{task.title}: methods", methods, columns, judge),
        methods_table(f"{task.title}: more about calibration", methods, more, judge) if more else None,
        runs_table(f"{task.title}: every run", methods, columns),
        _temperature(methods),
        overview,
        [_card(task, method, options, confident) for method in methods],
    )


def _facts(task: Task, methods: Sequence[ScoredVariant]) -> list[str]:
    run = task.members[0].run
    data = run.data
    classes = len(task.members[0].predictions.label_names)
    facts = [
        f"{task.rows:,} rows",
        f"{classes} classes" if classes else "",
        _several(len(methods), "method"),
        _several(len(task.members), "run"),
        f"data from {data['source']}" if data.get("source") else "",
        f"judged on {data['validation']}" if data.get("validation") else "",
    ]
    return [fact for fact in facts if fact]


def _warnings(task: Task, methods: Sequence[ScoredVariant]) -> list[str]:
    """What must be known before two numbers are set beside each other."""
    subsets = sorted({str(member.run.data["subset"]) for member in task.members if member.run.data.get("subset")})
    found = [f"Not scores on the full data: {subset}." for subset in subsets]
    if any(member.run.data.get("synthetic") for member in task.members):
        found.append("Synthetic data, generated by logitmix_hf.")
    selected = [m.run.name for m in task.members if m.run.record["arguments"].get("load_best_model_at_end")]
    if selected:
        found.append(f"The checkpoint was selected on these very rows, which flatters it: {', '.join(selected)}.")
    machines = {_machine(member.run.record) for member in task.members}
    if len(machines) > 1:
        found.append(
            f"The runs had different machines or threads, so their cost does not compare: {'; '.join(sorted(machines))}."
        )
    return found


def _machine(record: Mapping[str, Any]) -> str:
    environment = record.get("environment") or {}
    device = environment.get("device") or {}
    threads = (
        f", {_several(environment['threads'], 'thread')}"
        if device.get("type") == "cpu" and "threads" in environment
        else ""
    )
    name = device.get("name") or (environment.get("cpu") if device.get("type") == "cpu" else device.get("type"))
    return f"{name or 'unknown'}{threads}"


def _temperature(methods: Sequence[ScoredVariant]) -> str:
    """Where the temperatures of a task come from, in a sentence or two; empty for a regression."""
    runs = [run for method in methods for run in method.runs if run.tempered is not None]
    if not runs:
        return ""
    own = [run for run in runs if run.tempered and run.tempered.source == OWN]
    halves = [run for run in runs if run.tempered and run.tempered.source != OWN]
    said = []
    if halves:
        who = "The temperature" if not own else f"The temperature of {', '.join(run.name for run in halves)}"
        said.append(
            f"{who} was fitted for this report by halves: {halves[0].tempered.fitted}."  # type: ignore[union-attr]
        )
    if own:
        who = "Each run has its own temperature" if not halves else f"{', '.join(run.name for run in own)}: its own"
        where = sorted({run.tempered.fitted for run in own if run.tempered})
        said.append(f"{who}, fitted on {'; '.join(where)}.")
    cautions = sorted({f"{run.name}: {run.tempered.caution}" for run in runs if run.tempered and run.tempered.caution})
    said += [f"Caution: {'; '.join(cautions)}."] if cautions else []
    return " ".join(said)


def _card(task: Task, method: ScoredVariant, options: Options, confident: bool) -> MethodCard:
    cards = [_run_card(run, options) for run in method.runs] if confident else []
    drawn = training(method.runs, task.prefix, task.metrics[0]) if task.prefix == "eval" else None
    return MethodCard(method.label, cards[0] if cards else None, cards[1:], drawn, len(method.runs))


def _run_card(run: Scored, options: Options) -> RunCard:
    pictures = {"as trained": confidence.reliability(run.side(False), options, f"{run.name} as trained")}
    line, caution = f"ECE {run.values['ece']:.3f}", ""
    if run.tempered is not None:
        words = f"after T = {run.tempered.value:.2f}"
        if run.tempered.source != OWN:
            words += ", by halves"
        pictures[words] = confidence.reliability(run.side(True), options, f"{run.name} {words}")
        line = f"ECE {run.values['ece']:.3f} → {run.values['ece_at_t']:.3f}; T fitted: {run.tempered.fitted}"
        caution = run.tempered.caution
    pictures["how sure, how often"] = confidence.confidence_histogram(run, options)
    return RunCard(run.name, line, caution, pictures)


# --- the files ------------------------------------------------------------------------------------------------------


def _environment(html: bool) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("logitmix_hf.reporting.pages"),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = markdown_text
    return environment


def _html(values: Mapping[str, Any]) -> str:
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = _environment(html=True)
    figures: dict[str, Any] = {}

    def place(picture: Picture) -> str:
        figures[name := f"figure-{len(figures) + 1}"] = picture
        return name

    # The page is written first, so that the figures it asks for are known.
    body = environment.get_template("body.html").render(**values, place=place)
    # Within a script element nothing but "</" and "<!--" is special; a JSON string may write < otherwise.
    data = json.dumps({name: json.loads(picture.figure) for name, picture in figures.items()}, separators=(",", ":"))
    scripts = [Markup(get_plotlyjs()), Markup(_text("report.js"))]
    return environment.get_template("report.html").render(
        **values,
        body=Markup(body),
        style=Markup(_text("report.css")),
        figures=Markup(data.replace("<", "\\u003c")),
        scripts=scripts,
        hashes=[_digest(f"\n{script}\n") for script in scripts],
    )


def _digest(script: str) -> str:
    """What the page's Content-Security-Policy knows a script of its own by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    from importlib.resources import files

    return (files("logitmix_hf.reporting.pages") / "templates" / name).read_text(encoding="utf-8").strip()


def _markdown(values: Mapping[str, Any]) -> str:
    return _environment(html=False).get_template("report.md").render(**values).strip() + "\n"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, also within a table."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#" else letter for letter in text)
