"""``logitmix ensemble RUN RUN …``: what finished runs say together, and with ``--output_dir`` one classifier of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from logitmix_hf.errors import UserError, check_choice, check_number, say
from logitmix_hf.flags import FlagParser, words
from logitmix_hf.process import guarded

AVERAGES = ("logits", "probs")


@dataclass(frozen=True)
class EnsembleSettings:
    """Which runs are joined, how, and where to."""

    runs: list[str] = words("RUN", "folders of finished runs on the same rows, as runs/*")
    average: str = field(default="logits", metadata={"help": "what is averaged: logits, or probs for probabilities"})
    output_dir: str | None = field(
        default=None,
        metadata={"help": "write one classifier here; default: stored predictions are joined, nothing written"},
    )
    overwrite: bool = field(default=False, metadata={"help": "replace the run that the output folder holds"})
    bins: int = field(default=15, metadata={"help": "bins of ECE and of every other score that has bins"})
    bootstrap: int = field(default=1000, metadata={"help": "resamples behind intervals; 0: none"})

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise UserError(
                f"logitmix ensemble needs at least two runs, got {len(self.runs)}: logitmix ensemble runs/a runs/b."
            )
        check_choice("average", self.average, AVERAGES)
        check_number("--bins", self.bins, low=1)
        check_number("--bootstrap", self.bootstrap, low=0)
        if self.overwrite and self.output_dir is None:
            raise UserError(
                "--overwrite replaces what --output_dir holds, and none was given: give it, or leave it out."
            )


def parse(argv: Sequence[str]) -> EnsembleSettings:
    """The flags as settings."""
    return FlagParser([EnsembleSettings], prog="logitmix ensemble", description=__doc__).parse(argv)[0]


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _ensemble(parse(argv), argv))


def _ensemble(settings: EnsembleSettings, argv: Sequence[str]) -> int:
    # Here, and not at the top: torch takes seconds, and a misspelt flag needs none of it.
    from logitmix_hf.evaluation import review
    from logitmix_hf.evaluation.members import members_of
    from logitmix_hf.reporting.folder import RunFolder
    from logitmix_hf.reporting.table import result_row, results_table
    from logitmix_hf.training.ensemble import join_runs, lines, told, write_ensemble

    folder = None if settings.output_dir is None else RunFolder(settings.output_dir)
    if folder is not None:
        folder.check_free()
        folder.check(overwrite=settings.overwrite)
    joined = join_runs(settings.runs, settings.average)
    metric = joined.metrics[0]
    rows = []
    for prefix, (split, pooled) in joined.splits.items():
        beside = f", {split}" if len(joined.splits) > 1 else ""

        def row(label: str, predictions, place: str = "–", prefix: str = prefix, beside: str = beside):
            scores = {f"{prefix}_{key}": value for key, value in review(predictions, (metric,), settings.bins).items()}
            return result_row(label + beside, scores, metric, seconds=None, folder=place, prefix=prefix)

        for run, name, said in zip(joined.runs, joined.names, members_of(pooled), strict=True):
            rows.append(row(name, said, str(run.path)))
        rows.append(row(f"all {len(joined.runs)} ({settings.average})", pooled))
        if joined.calibration is not None:
            place, value = settings.output_dir or "–", joined.calibration.scaling.temperature
            rows.append(
                row(
                    f"all {len(joined.runs)}, T = {value:.3g}",
                    joined.after(prefix),
                    place,
                )
            )
    facts = told(joined, settings.bootstrap)
    if folder is not None:
        write_ensemble(
            joined,
            facts,
            folder,
            ["logitmix", "ensemble", *argv],
            overwrite=settings.overwrite,
            bins=settings.bins,
            resamples=settings.bootstrap,
        )
    say(*lines(joined, facts), "", *results_table(rows).split("\n"), out=True)
    return 0
