"""``logitmix calibrate``: judge any text or image classifier, fit its temperature, and with --save keep a calibrated copy.

Nothing is trained. Without another flag each half of the judged rows is judged by a temperature of the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from logitmix_hf.arguments import MixArguments
from logitmix_hf.commands.train import run_command
from logitmix_hf.errors import UserError
from logitmix_hf.flags import FlagParser, flag
from logitmix_hf.modality import TEXT
from logitmix_hf.training.run_settings import RunSettings
from logitmix_hf.training.settings import TrainSettings
from logitmix_hf.training.text.settings import TextDataSettings, TextModelSettings

if TYPE_CHECKING:
    from logitmix_hf.commands.untrained import Untrained


@dataclass(frozen=True)
class CalibrateSettings(RunSettings):
    """As of every run; and whether to keep the model."""

    save: bool = flag("calibration", False, "write a calibrated copy of the model into the output folder")

    @property
    def _needs_rows(self) -> bool:
        return False  # without a flag it is by halves


OF_TRAINING = ("recipe", "resume", "early_stopping", "folds")
"""Flags of every other run that mean nothing here."""


def parse(argv: Sequence[str], prog: str = "logitmix calibrate") -> Untrained:
    """The flags as settings; which ones there are, text or images, the configuration of the model decides.

    Raises:
        UserError: without a model, or for one that is no classifier.
    """
    name = _value(argv, "model", "model_name_or_path")
    if name is None or not name.strip() or {"-h", "--help"} & set(argv):
        FlagParser(_kinds(TEXT), TEXT, without=OF_TRAINING, prog=prog, description=__doc__).parse(
            argv
        )  # --help ends here
        raise UserError("logitmix calibrate needs a --model: a Hub id, a local folder, or the folder of a run.")
    # Here, and not at the top: these take as long as all before, which a misspelt flag need not wait for.
    from logitmix_hf.commands.untrained import CalibrateImages, CalibrateText
    from logitmix_hf.serving.classifier import find_classifier
    from logitmix_hf.trainer.resolved import resolved

    found = find_classifier(name, _value(argv, "model_revision") or "main", _value(argv, "hub_token"))
    parser = FlagParser(_kinds(found.modality), found.modality, without=OF_TRAINING, prog=prog, description=__doc__)
    parser.set_defaults(do_train=False)
    data, network, run, training = parser.parse(argv)
    if training.do_train:
        raise UserError(
            "logitmix calibrate trains nothing: leave --do_train out, or train by `logitmix glue` or `vision`."
        )
    if run.calibration is None:
        run = replace(run, protocol="halves")
    if found.modality == TEXT and _value(argv, "max_length", "max_seq_length") is None:
        data = replace(data, max_length=found.max_length())  # judged as predict deploys it
    job = (CalibrateText if found.modality == TEXT else CalibrateImages)(
        data, network, MixArguments(method="vanilla"), run, training, [*prog.split(), *argv]
    )
    job.found = found
    if training.output_dir in (None, "trainer_output"):
        job.training = resolved(training, output_dir=f"runs/{job.name}-{job.label}-calibrated-s{training.seed}")
    return job


def _kinds(modality: str) -> list[type]:
    if modality == TEXT:
        return [TextDataSettings, TextModelSettings, CalibrateSettings, TrainSettings]
    from logitmix_hf.training.vision.settings import ImageDataSettings, ImageModelSettings, VisionTrainSettings

    return [ImageDataSettings, ImageModelSettings, CalibrateSettings, VisionTrainSettings]


def _value(argv: Sequence[str], *names: str) -> str | None:
    """What follows the last of these flags."""
    found = None
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name.removeprefix("--").replace("-", "_") in names and name.startswith("--"):
            found = value if equals else next((word for word in argv[index + 1 : index + 2] if word[:2] != "--"), None)
    return found


def main(argv: Sequence[str] | None = None, prog: str = "logitmix calibrate") -> int:
    """The command; returns its exit code."""
    return run_command(parse, argv, prog)
