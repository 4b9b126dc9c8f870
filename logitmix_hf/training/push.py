"""The push of a finished run: at its end, or later by ``logitmix push``."""

from __future__ import annotations

import gc
import sys

from logitmix_hf.errors import printable, say
from logitmix_hf.redact import scrub
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.folder import RunFolder


def push(folder: RunFolder, target: hub.HubOptions) -> int:
    """Push a finished run; 0, or 3 with the command that pushes later, or 130 or 143 where somebody did not want to wait."""
    assert target.repo_id is not None
    where = (folder.path, target.repo_id, target.token, target.private, target.revision)
    try:
        address = hub.push_run(*where, say=_say)
    except hub.PushFailed as problem:
        line, code = f"error: {problem}", 3
    except (KeyboardInterrupt, SystemExit) as end:  # the latter in a training, and of SIGTERM
        again = hub.push_command(folder.path, target.repo_id, target.revision)
        line = f"interrupted while pushing; the run is saved, and what arrived is kept. Go on with: {again}"
        code = end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else 130
    else:
        line, code = f"pushed to {scrub(address)}", 0
    gc.collect()  # the exception held the progress bars of uploads that failed, which write once more when they go
    say(line, out=not code)
    return code


def _say(line: str) -> None:
    sys.stderr.write(printable(f"push: {line}") + "\n")  # at once: uploads run in several threads
