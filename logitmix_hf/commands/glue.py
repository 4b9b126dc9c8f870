"""``logitmix glue``: a text classifier on a GLUE task or on anybody's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from logitmix_hf.arguments import MixArguments
from logitmix_hf.flags import FlagParser, formatter, with_recipe
from logitmix_hf.process import guarded
from logitmix_hf.training.run import fine_tune
from logitmix_hf.training.settings import RunSettings, TrainSettings
from logitmix_hf.training.text.job import TextJob
from logitmix_hf.training.text.settings import DataSettings, ModelSettings


def parse(argv: Sequence[str], prog: str = "logitmix glue") -> TextJob:
    """The flags as settings; see :class:`logitmix_hf.flags.FlagParser` for how mistakes end."""
    kinds = [DataSettings, ModelSettings, MixArguments, RunSettings, TrainSettings]
    parser = FlagParser(kinds, prog=prog, formatter_class=formatter, description=__doc__)
    job = TextJob(*parser.parse(with_recipe(argv)), argv=[*prog.split(), *argv])
    job.name_folder(job.model.model)
    return job


def main(argv: Sequence[str] | None = None, prog: str = "logitmix glue") -> int:
    """The command; returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: fine_tune(parse(words, prog)))


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
