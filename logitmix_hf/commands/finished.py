"""The run that a command speaks of by its folder: ``logitmix push RUN``, ``logitmix card RUN``."""

from __future__ import annotations

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.folder import RECORD, RunFolder

RUN = ("RUN", "the folder of a finished run", "the folder of a run first", "runs/NAME")
"""What the usage says of the word (:func:`logitmix_hf.flags.word`)."""


def finished_run(path: str) -> RunFolder:
    """The finished run in this folder.

    Raises:
        UserError: there is no run, or one that is not finished.
    """
    folder = RunFolder(path)
    if not folder.holds_run():
        raise UserError(f"{path!r} is not the folder of a run: it has no run.json of ours.")
    if folder.read_json(RECORD).get("status") != "done":
        raise UserError(f"The run in {path!r} is not finished: go on with its command and --resume.")
    return folder
