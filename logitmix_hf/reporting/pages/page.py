"""``report.html``, ``report.md`` and ``results.csv`` of many runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.comparison.grouping import JudgedTask, group
from logitmix_hf.reporting.comparison.runs import FoundRuns
from logitmix_hf.reporting.comparison.scores import Options, ScoredVariant, score
from logitmix_hf.reporting.comparison.significance import judges
from logitmix_hf.reporting.comparison.tables import ScoreTable, TableCell, results_csv
from logitmix_hf.reporting.folder import check_place
from logitmix_hf.reporting.pages.drawing import Picture
from logitmix_hf.reporting.pages.sections import Section, section, several
from logitmix_hf.reporting.record import now
from logitmix_hf.tables import markdown_table, markdown_text
from logitmix_hf.version import __version__

GENERATOR = f"logitmix_hf {__version__} report"
FILES = ("report.html", "report.md", "results.csv")
NEEDED = "plotly"


def check_library() -> None:
    """Raises UserError, in one line with the command that mends it, where plotly is missing."""
    from importlib.util import find_spec

    if find_spec(NEEDED) is None:
        raise UserError(f"A report needs {NEEDED}, which is not installed: pip install 'logitmix_hf[report]'")


def check_target(folder: Path, files: Sequence[str] = FILES) -> None:
    """Refuse to write over what is no report of ours.

    Raises:
        UserError: the folder is a file, cannot be written, or holds a file of that name by somebody else.
    """
    check_place(folder)
    present = [name for name in files if (folder / name).exists()]
    page = folder / next(name for name in files if name.endswith(".html"))
    ours = page.is_file() and b'content="logitmix_hf ' in page.read_bytes()[:2000]
    if present and not ours:
        raise UserError(
            f"The output folder {str(folder)!r} holds {', '.join(present)} that no report of logitmix wrote; it is "
            "left alone. Give another --output_dir."
        )


def write_report(
    found: FoundRuns, folder: Path, options: Options, title: str = "", say: Callable[[str], None] = lambda _: None
) -> list[Section]:
    """Write the three files, each whole or not at all; returns what they say.

    ``say`` is told what is being judged, which takes about a second a run.

    Raises:
        UserError: see ``check_library`` and ``check_target``.
    """
    check_library()
    check_target(folder)
    tasks: list[tuple[JudgedTask, list[ScoredVariant]]] = []
    for task in group(found.runs):
        say(f"judging {task.title}: {several(len(task.members), 'run')}")
        tasks.append((task, score(task, options)))
    sections = [
        section(number, task, methods, judge, options)
        for number, ((task, methods), judge) in enumerate(zip(tasks, judges(tasks, options), strict=True), start=1)
    ]
    runs = len(found.runs)
    values = {
        "title": title or f"{several(runs, 'run')} on {several(len(tasks), 'task')}",
        "generator": GENERATOR,
        "made": now().replace("T", " ")[:16] + " UTC",
        "sections": sections,
        "skipped": found.skipped,
        "passed": found.passed,
        "options": options,
    }
    write_atomic(folder / "report.html", scrub(html_page("body.html", values)).encode())
    write_atomic(folder / "report.md", scrub(markdown_page("report.md", values)).encode())
    write_atomic(folder / "results.csv", scrub(results_csv(tasks)).encode())
    return sections


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
    environment.filters["text"] = markdown_text
    return environment


def html_page(template: str, values: Mapping[str, Any]) -> str:
    """A page that needs nothing but itself: the body by a template, its pictures, style and scripts."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = _environment(html=True)
    figures: dict[str, Any] = {}

    def place(picture: Picture) -> str:
        figures[name := f"figure-{len(figures) + 1}"] = picture
        return name

    # The page is written first, so that the figures it asks for are known.
    body = environment.get_template(template).render(**values, place=place)
    # Within a script element nothing but "</" and "<!--" is special; a JSON string may write < otherwise.
    data = json.dumps({name: json.loads(picture.figure) for name, picture in figures.items()}, separators=(",", ":"))
    scripts = [Markup(get_plotlyjs()), Markup(_text("report.js"))]
    return environment.get_template("report.html").render(
        **values,
        body=Markup(body),
        style=Markup(_text("report.css")),
        figures=Markup(data.replace("<", "\\u003c")),
        scripts=scripts,
        # What the page's Content-Security-Policy knows its own scripts by.
        hashes=[base64.b64encode(hashlib.sha256(f"\n{one}\n".encode()).digest()).decode() for one in scripts],
    )


def _text(name: str) -> str:
    from importlib.resources import files

    return (files("logitmix_hf.reporting.pages") / "templates" / name).read_text(encoding="utf-8").strip()


def markdown_page(template: str, values: Mapping[str, Any]) -> str:
    """The same tables as Markdown."""
    return _environment(html=False).get_template(template).render(**values, show=_table).strip() + "\n"


def _table(table: ScoreTable) -> str:
    heads = [markdown_text(head.plain or head.text) for head in table.heads]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return markdown_table(heads, rows, "".join("r" if head.numeric else "l" for head in table.heads))


def _cell(cell: TableCell) -> str:
    text, small = markdown_text(cell.text), markdown_text(cell.small)
    words = [f"**{text}**" if cell.strong else text, f"({small})" if small and not small.startswith("±") else small]
    return " ".join(words).strip()
