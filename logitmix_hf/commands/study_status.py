"""``logitmix study status STUDY``: how far a study is; reads files only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from logitmix_hf.errors import say
from logitmix_hf.flags import FlagParser, word
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.manifest import read_study
from logitmix_hf.studies.search import search_lines, searches_of
from logitmix_hf.studies.state import RUNNING, WAITING, states_of


@dataclass(frozen=True)
class StudyStatusSettings:
    """Which study."""

    study: str = word(
        "STUDY", "its file, its folder, or the name of one that comes with the package", "a study", "table3.yaml"
    )


def main(argv: Sequence[str]) -> int:
    """The part; returns its exit code."""
    settings = FlagParser([StudyStatusSettings], prog="logitmix study status", description=__doc__).parse(argv)[0]
    study = read_study(settings.study)
    states = states_of(study)
    counts = Counter(state.kind for state in states.values())
    begun = sum(state.kind == WAITING and state.begun for state in states.values())
    lines = [f"{study.name}: {counts[ends.DONE]} of {len(states)} runs are done ({study.folder})"]
    for kind, count in sorted(counts.items()):
        if kind != ends.DONE:
            lines.append(f"  {kind}: {count}{f', {begun} of them begun' if kind == WAITING and begun else ''}")
    if dropped := len(study.cells) - len(study.live):
        lines.append(f"  no longer in the file: {dropped}")
    searches = searches_of(study)
    lines += [f"  {line}" for line in search_lines(searches, study.file)]
    spent = [state.seconds for state in states.values() if state.kind == ends.DONE and state.seconds]
    left = counts[RUNNING] + counts[WAITING]
    if spent and left:
        at_a_time = max(counts[RUNNING], 1)
        seconds = mean(spent) * (counts[WAITING] + counts[RUNNING] / 2) / at_a_time
        lines.append(f"  time left: about {_time(seconds)} at {at_a_time} a time ({_time(mean(spent))} a run so far)")
    tried = [(trial.cell, trial.state) for each in searches for trial in each.trials]
    for cell, state in [*tried, *((cell, states[cell.id]) for cell in study.live)]:
        if state.kind == RUNNING:
            lines.append(f"  running: {cell.name}")
        elif state.kind not in (ends.DONE, WAITING):
            lines.append(f"  {state.kind}: {cell.name}{': ' + state.line if state.line else ''}")
        elif state.push_failed:
            lines.append(f"  trained and not pushed: logitmix push {cell.folder}")
    say(*lines, out=True)
    return 0


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
