"""The folder that a command on a finished run begins with: ``logitmix push RUN``, ``logitmix card RUN``."""

from __future__ import annotations

from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.flags import FlagParser
from logitmix_hf.reporting.folder import RECORD, RunFolder


def finished_run(parser: FlagParser, words: list[str], command: str) -> tuple[RunFolder, list[Any]]:
    """The run that the first word names, and the settings in the others.

    Raises:
        UserError: there is no such word, no run there, or one that is not finished.
    """
    if not words or words[0].startswith("-"):
        parser.parse(words)  # --help ends here
        raise UserError(f"logitmix {command} needs the folder of a run first: logitmix {command} runs/NAME.")
    folder, settings = RunFolder(words[0]), parser.parse(words[1:])
    if not folder.holds_run():
        raise UserError(f"{str(folder.path)!r} is not the folder of a run: it has no run.json of ours.")
    if folder.read_json(RECORD).get("status") != "done":
        raise UserError(f"The run in {str(folder.path)!r} is not finished: go on with its command and --resume.")
    return folder, settings
