"""``logitmix push RUN``: push the folder of a finished run, now or again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from logitmix_hf.ends import guarded
from logitmix_hf.errors import UserError
from logitmix_hf.flags import FlagParser, formatter
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.folder import RunFolder


@dataclass(frozen=True)
class PushSettings:
    """Where the run goes."""

    hub_model_id: str | None = field(default=None, metadata={"help": "user/name; default the folder's name, yours"})
    hub_token: str | None = field(default=None, metadata={"help": "token; default the one you logged in with"})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "make a new repository private"})
    hub_revision: str | None = field(default=None, metadata={"help": "branch; default main"})


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _push(list(argv)))


def _push(words: list[str]) -> int:
    parser = FlagParser([PushSettings], prog="logitmix push", formatter_class=formatter, description=__doc__)
    if words and not words[0].startswith("-"):
        folder = RunFolder(words.pop(0))
        parser.parse(words)
    else:
        parser.parse(words)  # --help ends here
        raise UserError("logitmix push needs the folder of a run first: logitmix push runs/NAME.")
    options = hub.HubOptions.from_arguments(parser.parse(words)[0])
    if not folder.holds_run():
        raise UserError(f"{str(folder.path)!r} is not the folder of a run: it has no run.json of ours.")
    if folder.read_json("run.json").get("status") != "done":
        raise UserError(f"The run in {str(folder.path)!r} is not finished: go on with its command and --resume.")
    hub.check_model(folder)
    repo_id = hub.check_access(options.repo_id or folder.path.name, options.token, options.private)
    return push(folder, replace(options, repo_id=repo_id))


def push(folder: RunFolder, target: hub.HubOptions) -> int:
    """Push a finished run; 0, or 3 with the command that pushes later."""
    assert target.repo_id is not None
    try:
        address = hub.push_run(folder.path, target.repo_id, target.token, target.private, target.revision)
    except hub.PushFailed as problem:
        failure = str(problem)
    else:
        print(f"pushed to {address}")
        return 0
    gc.collect()  # progress bars of uploads that failed write once more when they go; the error is the last line
    print(f"error: {failure}", file=sys.stderr)
    return 3
