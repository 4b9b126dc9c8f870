"""``logitmix glue``: a text classifier on a GLUE task or on anybody's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.commands.train import run_command
from logitmix_hf.flags import FlagParser, with_recipe
from logitmix_hf.training.settings import RunSettings, TrainSettings
from logitmix_hf.training.text.settings import TextDataSettings, TextModelSettings

if TYPE_CHECKING:
    from logitmix_hf.training.text.job import TextJob


def parse(argv: Sequence[str], prog: str = "logitmix glue") -> TextJob:
    """The flags as settings; see :class:`logitmix_hf.flags.FlagParser` for how mistakes end."""
    kinds = [TextDataSettings, TextModelSettings, MixArguments, RunSettings, TrainSettings]
    parser = FlagParser(kinds, prog=prog, description=__doc__)
    settings = parser.parse(with_recipe(argv))
    # Here, and not at the top: it takes as long as all before, which a misspelt flag need not wait for.
    from logitmix_hf.training.text.job import TextJob

    job = TextJob(*settings, argv=[*prog.split(), *argv])
    job.name_folder(job.model.model)
    return job


def main(argv: Sequence[str] | None = None, prog: str = "logitmix glue") -> int:
    """The command; returns its exit code."""
    return run_command(parse, argv, prog)


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
