"""The run that a command speaks of by its folder: ``logitmix push RUN``, ``logitmix card RUN``."""

from __future__ import annotations

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.folder import RECORD, RunFolder

RUN_HELP = "the folder of a finished run"


def finished_run(path: str | None, command: str) -> RunFolder:
    """The finished run in this folder.

    Raises:
        UserError: no folder was named, there is no run, or one that is not finished.
    """
    if path is None:
        raise UserError(f"logitmix {command} needs the folder of a run first: logitmix {command} runs/NAME.")
    folder = RunFolder(path)
    if not folder.holds_run():
        raise UserError(f"{path!r} is not the folder of a run: it has no run.json of ours.")
    if folder.read_json(RECORD).get("status") != "done":
        raise UserError(f"The run in {path!r} is not finished: go on with its command and --resume.")
    return folder
