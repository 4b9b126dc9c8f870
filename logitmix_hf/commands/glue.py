"""``logitmix glue``: a text classifier on a GLUE task or on anybody's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.commands.train import run_command
from logitmix_hf.flags import FlagParser, with_recipe
from logitmix_hf.training.run_settings import RunSettings
from logitmix_hf.training.settings import TrainSettings
from logitmix_hf.training.text.settings import LEARNING_RATE, AdapterSettings, TextDataSettings, TextModelSettings

if TYPE_CHECKING:
    from logitmix_hf.training.text.job import TextJob


SETTINGS = (TextDataSettings, TextModelSettings, MixArguments, RunSettings, TrainSettings, AdapterSettings)
"""Every flag is a field of one of these."""


def parse(argv: Sequence[str], prog: str = "logitmix glue") -> TextJob:
    """The flags as settings; see :class:`logitmix_hf.flags.FlagParser` for how mistakes end."""
    parser = FlagParser(SETTINGS, prog=prog, description=__doc__)
    words = with_recipe(argv)
    *settings, adapters = parser.parse(words)
    if adapters.count:
        *settings, adapters = parser.parse([f"--learning_rate={LEARNING_RATE}", *words])
    # Here, and not at the top: it takes as long as all before, which a misspelt flag need not wait for.
    from logitmix_hf.training.text.job import TextJob

    job = TextJob(*settings, argv=[*prog.split(), *argv], adapters=adapters)
    job.name_folder(job.model.model, f"-lora{adapters.lora_members or ''}" if adapters.count else "")
    return job


def main(argv: Sequence[str] | None = None, prog: str = "logitmix glue") -> int:
    """The command; returns its exit code."""
    return run_command(parse, argv, prog)


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
