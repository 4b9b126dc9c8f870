"""``logitmix glue``: a text classifier on a GLUE task or on anybody's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.flags import FlagParser, with_recipe
from logitmix_hf.process import guarded
from logitmix_hf.training.settings import RunSettings, TrainSettings
from logitmix_hf.training.text.settings import TextDataSettings, TextModelSettings

if TYPE_CHECKING:
    from logitmix_hf.training.text.job import TextJob


def parse(argv: Sequence[str], prog: str = "logitmix glue") -> TextJob:
    """The flags as settings; see :class:`logitmix_hf.flags.FlagParser` for how mistakes end."""
    kinds = [TextDataSettings, TextModelSettings, MixArguments, RunSettings, TrainSettings]
    parser = FlagParser(kinds, prog=prog, description=__doc__)
    settings = parser.parse(with_recipe(argv))
    from logitmix_hf.training.text.job import (
        TextJob,  # takes as long as all before, which a misspelt flag need not wait
    )

    job = TextJob(*settings, argv=[*prog.split(), *argv])
    job.name_folder(job.model.model)
    return job


def main(argv: Sequence[str] | None = None, prog: str = "logitmix glue") -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _glue(sys.argv[1:] if argv is None else list(argv), prog))


def _glue(argv: Sequence[str], prog: str) -> int:
    job = parse(argv, prog)
    from logitmix_hf.training.run import fine_tune

    return fine_tune(job)


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
