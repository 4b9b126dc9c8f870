"""``logitmix study run|status|table|words STUDY``: many runs that one file names, started, watched and set side by side."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from logitmix_hf.errors import UserError, pick, say

PARTS: dict[str, str] = {
    "run": "start, resume and complete the runs of a study; the same line again does what is left",
    "status": "how many runs are done, the time left, who failed and why; reads files only",
    "table": "the scores of all runs side by side, with intervals and tests",
    "words": "one command line a run, of those that are left, for schedulers of other kinds",
}
"""What each part does; ``study_PART`` has its ``main``, and is imported when it is asked for: none needs torch, and table alone
what judges."""


def usage() -> str:
    """What ``logitmix study --help`` prints."""
    lines = ["usage: logitmix study PART STUDY [flags]", "", "parts:"]
    lines += [f"  {name:<8}{text}" for name, text in PARTS.items()]
    lines += ["", "STUDY is a YAML file, or the name of a study that comes with the package (docs/studies.md)."]
    return "\n".join([*lines, "", "`logitmix study PART --help` lists the flags of a part."])


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        say(*usage().split("\n"), out=True)
        return 0
    if argv[0].startswith("-"):
        raise UserError(
            f"There is no flag {argv[0].split('=')[0]}. A part comes first: logitmix study run STUDY."
            f" Parts: {', '.join(PARTS)}."
        )
    pick(PARTS, argv[0], "part of logitmix study")
    return import_module(f"logitmix_hf.commands.study_{argv[0]}").main(argv[1:])
