"""``logitmix study words STUDY``: one command line a run, of those that are left."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.commands.study_run import study_named
from logitmix_hf.errors import UserError, say
from logitmix_hf.flags import FlagParser, option, word
from logitmix_hf.lock import writing
from logitmix_hf.reporting.folder import record_of
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.manifest import write_manifest
from logitmix_hf.studies.state import state_of


@dataclass(frozen=True)
class StudyWordsSettings:
    """Which study, and which part of its runs."""

    study: str = word(
        "STUDY", "a YAML file, or the name of a study that comes with the package", "a study", "table3.yaml"
    )
    shard: str | None = option(None, "i/n: the i-th of n parts, i from 1")

    def __post_init__(self) -> None:
        if self.shard is not None:
            found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard)
            if not found or not 1 <= int(found[1]) <= int(found[2]):
                raise UserError(f"--shard must be i/n with i from 1 to n, as 2/8, got {self.shard!r}.")


def main(argv: Sequence[str]) -> int:
    """The part; returns its exit code."""
    settings = FlagParser([StudyWordsSettings], prog="logitmix study words", description=__doc__).parse(argv)[0]
    study = study_named(settings.study, elsewhere=True)
    if any(not cell.words for cell in study.live):
        raise UserError(
            f"{settings.study}: search: what the runs are is not known before the trials are done, which ask for each other:"
            " `logitmix study run` makes them, and words names the runs of the table then."
        )
    study.folder.mkdir(parents=True, exist_ok=True)
    with writing(study.folder):
        write_manifest(study)
    launch = study.file.launch
    launched = ["logitmix"] if launch.config is None else ["accelerate", "launch", *launch.program[3:]]
    part, parts = (int(number) for number in (settings.shard or "1/1").split("/"))
    # Shards are cut before what is done is left out: a run belongs to one shard for good.
    for cell in study.live[part - 1 :: parts]:
        state = state_of(cell, study.file.retries)
        if state.kind != ends.DONE:
            again = ["--resume"] if record_of(cell.folder) is not None else []
            say(shlex.join([*launched, study.command, *cell.words, *again]), out=True)
    return 0
