"""``logitmix study table STUDY``: the scores of all runs side by side, with intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from logitmix_hf.errors import check_number, say
from logitmix_hf.flags import FlagParser, option, word
from logitmix_hf.reporting.comparison.tables import ScoreTable, TableCell
from logitmix_hf.studies.table import FILES, write_table
from logitmix_hf.studies.verdicts import DRAWS
from logitmix_hf.tables import aligned_table


@dataclass(frozen=True)
class StudyTableSettings:
    """Which study, and what is to be told of it."""

    study: str = word(
        "STUDY", "its file, its folder, or the name of one that comes with the package", "a study", "table3.yaml"
    )
    output_dir: str = option("report", f"folder of {', '.join(FILES)}; one of another study is left alone")
    allow_missing: bool = option(False, "tell of the runs that are done, though others are not")
    strict_versions: bool = option(False, "refuse runs of several versions of a library, of which else a warning tells")
    draws: int = option(DRAWS, "of seeds and rows behind each interval")
    bins: int = option(15, "of ECE, the same for every run")
    rope: float | None = option(
        None, "points of the first metric (0.5: .005) up to which methods are alike: adds the Bayesian signed-rank test"
    )

    def __post_init__(self) -> None:
        check_number("--draws", self.draws, low=100, high=1_000_000)
        check_number("--bins", self.bins, low=1, high=10_000)
        if self.rope is not None:
            check_number("--rope", self.rope, low=0, high=100)


def main(argv: Sequence[str]) -> int:
    """The part; returns its exit code."""
    from logitmix_hf.studies.manifest import read_study
    from logitmix_hf.studies.search import search_lines, searches_of
    from logitmix_hf.studies.tables import search_table

    settings = FlagParser([StudyTableSettings], prog="logitmix study table", description=__doc__).parse(argv)[0]
    study, folder = read_study(settings.study), Path(settings.output_dir)
    searches = searches_of(study)
    source = Path(str(study.file.source))
    own = source.with_suffix(".paper.csv")
    found = write_table(
        study,
        folder,
        allow_missing=settings.allow_missing,
        strict_versions=settings.strict_versions,
        paper=own if own.is_file() else source.with_name("paper.csv"),
        search=search_table(searches, study.file),
        draws=settings.draws,
        bins=settings.bins,
        rope=None if settings.rope is None else settings.rope / 100,
        say=say,
    )
    say("", *search_lines(searches, study.file), out=True)
    say(*_terminal_table(found[0]), "", f"table: {', '.join(str(folder / name) for name in FILES)}", out=True)
    return 0


def _terminal_table(table: ScoreTable) -> list[str]:
    """The lines of the first metric's table; * where bold."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    lines = [table.caption, *aligned_table([head.text for head in table.heads], rows, rule=False).split("\n")]
    if any(cell.strong for row in table.rows for cell in row):
        lines.append(
            "* better than the baseline: by the interval over seeds and rows, and by the sign-flip test after Holm"
        )
    if any("°" in cell.text for row in table.rows for cell in row):
        lines.append("° better by the interval only: fewer than six seeds")
    return lines


def _cell(cell: TableCell) -> str:
    return f"{cell.text}{'*' if cell.strong else ''} {cell.small}".strip()
