"""``logitmix report RUN …``: many runs on one page that opens from disk, as Markdown, and as a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.errors import UserError, check_number, say
from logitmix_hf.flags import FlagParser, option, words
from logitmix_hf.reporting.comparison.columns import SCORE
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.scores import Options
from logitmix_hf.reporting.comparison.significance import ONLY
from logitmix_hf.reporting.pages.page import FILES, check_library, check_target, write_report
from logitmix_hf.reporting.pages.sections import Section
from logitmix_hf.tables import aligned_table


@dataclass(frozen=True)
class ReportSettings:
    """Which runs, where the report goes, and how it judges."""

    runs: list[str] = words("RUN", "folders of runs, as runs/*")
    output_dir: str = option("report", "folder of report.html, report.md and results.csv")
    title: str = option("", "of the page; default how many runs on how many tasks")
    bins: int = option(15, "of ECE and OE, the same for every run")
    bootstrap: int = option(1000, "draws of seeds and rows behind intervals and bold; 0 leaves both out and is quick")

    last: int = option(0, "tell also the mean of the last evaluations of each training, of so many")

    def __post_init__(self) -> None:
        if not self.runs:
            raise UserError("logitmix report needs the folders of runs: logitmix report runs/* --output_dir report.")
        check_number("--bins", self.bins, low=1, high=10_000)
        check_number("--bootstrap", self.bootstrap, low=0, high=100_000)
        check_number("--last", self.last, low=0)
        if 0 < self.bootstrap < 100:
            raise UserError(
                f"--bootstrap {self.bootstrap} is too few for an interval: give 0 for none, or at least 100."
            )


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code: 0, or 1 where a run was left out."""
    settings = FlagParser([ReportSettings], prog="logitmix report", description=__doc__).parse(argv)[0]
    folder = Path(settings.output_dir)
    check_library()
    check_target(folder)
    found = find_runs(path for path in settings.runs if Path(path).resolve() != folder.resolve())
    if found.passed:
        names = ", ".join(found.passed[:5]) + (f" and {len(found.passed) - 5} more" if len(found.passed) > 5 else "")
        say(f"no runs, passed over: {names}")
    for path, reason in found.skipped:
        say(f"left out {path}: {reason}")
    options = Options(bins=settings.bins, resamples=settings.bootstrap, last=settings.last)
    for section in write_report(found, folder, options, settings.title, say):
        say("", *_terminal_table(section), out=True)
    say("", f"report: {', '.join(str(folder / name) for name in FILES)}", out=True)
    if found.skipped:
        left = len(found.skipped)
        say(f"error: {left} run{'s' if left != 1 else ''} left out, see above")
    return 1 if found.skipped else 0


IN_TERMINAL = ("T", "ECE", "ECE at T", "NLL", "NLL at T", "seconds")
"""The columns beside the task's scores that fit a terminal; all of them are in the files."""


def _terminal_table(section: Section) -> list[str]:
    """The lines of the first table in short; * where it is bold."""
    table = section.scores
    names = [head.plain or head.text for head in table.heads]
    scores = 1 + next((width for name, width in table.groups if name == SCORE), 0)
    columns = [number for number, name in enumerate(names) if number < scores or name in IN_TERMINAL]
    rows = [
        [f"{row[n].text}{'*' if row[n].strong else ''} {_small(row[n].small)}".strip() for n in columns]
        for row in table.rows
    ]
    lines = [section.title, *aligned_table([names[number] for number in columns], rows, rule=False).split("\n")]
    if any(row[n].strong for row in table.rows for n in columns):
        lines.append("* best: interval over seeds and rows, and exact test, support it against the runner-up")
    if any(ONLY in row[n].text for row in table.rows for n in columns[1:]):
        lines.append(f"{ONLY} best by the interval only: too few seeds for a test")
    return lines


def _small(text: str) -> str:
    return text if not text or text.startswith("±") else f"({text})"
