"""``logitmix vision``: an image classifier on a known data set, one of the Hub, or a folder of pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.commands.train import run_command
from logitmix_hf.flags import FlagParser, with_recipe
from logitmix_hf.modality import IMAGE
from logitmix_hf.training.run_settings import RunSettings
from logitmix_hf.training.vision.settings import FINE_TUNING, ImageDataSettings, ImageModelSettings, VisionTrainSettings
from logitmix_hf.vision.network_table import is_ours

if TYPE_CHECKING:
    from logitmix_hf.training.vision.job import VisionJob


SETTINGS = (ImageDataSettings, ImageModelSettings, MixArguments, RunSettings, VisionTrainSettings)
"""Every flag is a field of one of these."""


def parse(argv: Sequence[str], prog: str = "logitmix vision") -> VisionJob:
    """The flags as settings; a pretrained model starts from other defaults than a network with random weights."""
    parser = FlagParser(SETTINGS, IMAGE, prog=prog, description=__doc__)
    words = with_recipe(argv)
    settings = parser.parse(words)
    if not is_ours(settings[1].model):
        settings = parser.parse([*(f"--{name}={value}" for name, value in FINE_TUNING.items()), *words])
    # Here, and not at the top: it takes as long as all before, which a misspelt flag need not wait for.
    from logitmix_hf.training.vision.job import VisionJob

    job = VisionJob(*settings, argv=[*prog.split(), *argv])
    chosen = job.mix.filled(IMAGE).mixer
    mixer = f"-{chosen}".replace(",", "+") if chosen and job.mix.mixes and chosen != job.mix.method else ""
    job.name_folder(job.model.model, mixer)
    return job


def main(argv: Sequence[str] | None = None, prog: str = "logitmix vision") -> int:
    """The command; returns its exit code."""
    return run_command(parse, argv, prog)


def vision_script() -> None:
    """``run_vision.py``."""
    sys.exit(main(prog="run_vision.py"))
