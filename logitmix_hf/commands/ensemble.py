"""``logitmix ensemble RUN RUN …``: what finished runs say together, and with ``--output_dir`` one classifier of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.errors import UserError, check_choice, say
from logitmix_hf.evaluation.scaling import TEMPERATURE
from logitmix_hf.flags import FlagParser, flag, option, words
from logitmix_hf.training.run_settings import RunSettings

AVERAGES = ("logits", "probs")
OF_TRAINING = ("recipe", "config", "resume", "keep_checkpoints", "early_stopping", "folds")
OF_TRAINING += ("calibration_split", "calibration_file", "protocol", "calibrate_on_eval")
"""Flags of every other run that mean nothing here: rows for the temperature are those of the members."""
ASKS = ("shift", "ood", "corrupted")
"""Flags of data that the joined model itself must be asked for."""


@dataclass(frozen=True)
class EnsembleSettings(RunSettings):
    """Which runs are joined, how, and where to; and how they are judged, as every run."""

    runs: list[str] = words("RUN", "folders of finished runs on the same rows, as runs/*")
    average: str = option("logits", "what is averaged: logits, or probs for probabilities")
    output_dir: str | None = option(
        None, "write one classifier here; default: stored predictions are joined, nothing written"
    )
    corrupted: str | None = flag("data", None, "of images: judge it on corrupted ones: a folder of CIFAR-C, or like")
    corruptions: str | None = flag("data", None, "of these corruptions alone: names joined by commas; default all")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.runs) < 2:
            raise UserError(
                f"logitmix ensemble needs at least two runs, got {len(self.runs)}: logitmix ensemble runs/a runs/b."
            )
        check_choice("average", self.average, AVERAGES)
        if self.output_dir is not None:
            return
        if self.overwrite:
            raise UserError(
                "--overwrite replaces what --output_dir holds, and none was given: give it, or leave it out."
            )
        for name in (one for one in ASKS if getattr(self, one)):
            raise UserError(
                f"--{name} asks the joined model, which --output_dir names a folder for: give it, or leave --{name} out."
            )

    @property
    def _needs_rows(self) -> bool:
        return False  # they are those of the members


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = FlagParser([EnsembleSettings], without=OF_TRAINING, prog="logitmix ensemble", description=__doc__)
    settings = parser.parse(argv)[0]
    from logitmix_hf.evaluation.thresholds import check_task
    from logitmix_hf.training.ensemble import join_runs

    if settings.output_dir is not None:
        from logitmix_hf.reporting.folder import RunFolder

        RunFolder(settings.output_dir).check(overwrite=settings.overwrite)
    joined = join_runs(settings.runs, settings.average)
    pooled = next(iter(joined.splits.values()))[1]
    if settings.decides:
        check_task(pooled.problem, pooled.label_names, settings.positive_label)
    if joined.facts is None and settings.calibrator != TEMPERATURE:
        raise UserError(
            f"--calibrator {settings.calibrator} calibrates the probabilities of classes, and these runs are a regression,"
            " which gives values: leave it out."
        )
    if settings.output_dir is None:
        return _tell(settings, joined)
    from logitmix_hf.commands.joined import joined_job
    from logitmix_hf.training.run import fine_tune

    words = ["logitmix", "ensemble", *argv]
    data = {"corrupted": settings.corrupted, "corruptions": settings.corruptions}
    return fine_tune(joined_job(joined, settings, settings.output_dir, words, **data))


def _tell(settings: EnsembleSettings, joined) -> int:
    """What the stored predictions say together."""
    from logitmix_hf.evaluation import review
    from logitmix_hf.evaluation.members import members_of
    from logitmix_hf.reporting.table import result_row, results_table
    from logitmix_hf.training import decisions
    from logitmix_hf.training.calibration import named
    from logitmix_hf.training.ensemble import lines, told

    metric, rows, after = joined.metrics[0], [], {}
    calibration = joined.calibrated(settings.calibrator)
    for prefix, (split, pooled) in joined.splits.items():
        beside = f", {split}" if len(joined.splits) > 1 else ""

        def row(label: str, predictions, place: str = "–", prefix: str = prefix, beside: str = beside):
            scores = {f"{prefix}_{key}": value for key, value in review(predictions, (metric,), settings.bins).items()}
            return result_row(label + beside, scores, metric, seconds=None, folder=place, prefix=prefix)

        for run, name, said in zip(joined.runs, joined.names, members_of(pooled), strict=True):
            rows.append(row(name, said, str(run.path)))
        rows.append(row(f"all {len(joined.runs)} ({settings.average})", pooled))
        if calibration is not None:
            after[prefix] = calibration.apply(pooled)
            rows.append(row(f"all {len(joined.runs)}, {named(calibration.scaling)}", after[prefix]))
    say(*lines(joined, told(joined, settings.bootstrap)), "", *results_table(rows).split("\n"), out=True)
    if calibration is not None and (deciding := decisions.fit(settings, calibration)) is not None:
        say(decisions.line(deciding.results(after)["decision"], next(iter(after))))
    return 0
