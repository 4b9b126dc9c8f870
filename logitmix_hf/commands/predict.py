"""``logitmix predict``: labels and calibrated probabilities of any number of rows, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from logitmix_hf.errors import UserError, check_choice, check_number, say
from logitmix_hf.flags import FlagParser, flag
from logitmix_hf.serving.host import DTYPES

ON_ERROR = ("skip", "stop")


@dataclass(frozen=True)
class PredictSettings:
    """What is predicted by what, and how it is told."""

    model: str | None = flag("model", None, "folder of a run, Hub id, or local folder", "--model_name_or_path")
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    hub_token: str | None = flag("model", None, "token; default the one you logged in with")
    device: str | None = flag("model", None, "cpu, cuda, cuda:1, mps …; default an accelerator where there is one")
    dtype: str = flag("model", "float32", f"type of the weights: {', '.join(DTYPES)}")
    batch_size: int = flag("model", 32, "rows that the model reads at once")
    input: str | None = flag(
        "input", None, ".csv, .tsv, .json, .jsonl, .txt or .parquet; a folder of images; a pipe, - for standard input"
    )
    input_format: str | None = flag("input", None, "csv, tsv, json, jsonl, text or parquet, where no suffix says it")
    text_columns: str | None = flag("input", None, "column of the text, or two joined by a comma; default the run's")
    image_column: str | None = flag("input", None, "column of the images or their paths")
    max_length: int | None = flag("input", None, "tokens a row is cut to; default the run's, else what the model reads")
    max_pixels: int = flag("input", 100_000_000, "a larger image is not decoded: it may be made to fill the memory")
    on_error: str = flag("input", "skip", "a row that cannot be read: skip (it is told, and left out) or stop")
    output: str | None = flag("output", None, ".csv, .jsonl or .parquet; default stdout")
    output_format: str | None = flag("output", None, "csv or jsonl for stdout; default csv")
    overwrite: bool = flag("output", False, "replace the output file")
    top_k: int | None = flag("output", None, "the k likeliest labels, each with its probability")
    abstain_below: float | None = flag("output", None, "no label where the probability is below this")
    threshold: float | None = flag(
        "output", None, "labels above this probability, of several a row; default the model's, else 0.5"
    )
    coverage: float | None = flag(
        "output", None, "also the set of classes that holds the right one with this probability, .5 to .99"
    )
    probabilities: bool = flag("output", False, "the probability of every label, each in a column of its own")
    keep: str | None = flag("output", None, "columns of the input that go into the output (id,text), or all")

    def __post_init__(self) -> None:
        check_choice("on_error", self.on_error, ON_ERROR)
        check_choice("dtype", self.dtype, DTYPES)
        check_number("batch_size", self.batch_size, low=1)
        check_number("max_pixels", self.max_pixels, low=1)
        check_number("max_length", self.max_length, low=4, optional=True)
        if self.model is None:
            raise UserError("logitmix predict needs a model: --model runs/NAME, a Hub id or a folder.")
        if self.input is None:
            raise UserError("logitmix predict needs rows: --input FILE, a folder of images, or - for a pipe.")

    def columns(self, modality: str) -> tuple[str, ...]:
        """The columns asked for.

        Raises:
            UserError: for those of the other modality.
        """
        own, other = ("text_columns", "image_column") if modality == "text" else ("image_column", "text_columns")
        if getattr(self, other) is not None:
            raise UserError(f"--{other} does not fit --model {self.model}, which reads {modality}s: see --{own}.")
        asked = getattr(self, own)
        return () if asked is None else tuple(name.strip() for name in asked.split(","))


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([PredictSettings], prog="logitmix predict", description=__doc__).parse(argv)[0]
    # Here, and not at the top: torch and transformers take seconds, and a misspelt flag needs neither.
    from logitmix_hf.serving.answers import Answers
    from logitmix_hf.serving.classifier import find_classifier
    from logitmix_hf.serving.host import bars_for_people, usable_device
    from logitmix_hf.serving.inputs import open_input
    from logitmix_hf.serving.predict import WINDOW, write_answers
    from logitmix_hf.serving.writers import output_kind

    source = str(settings.input)
    kind = output_kind(settings.output, settings.output_format, settings.overwrite, source)
    found = find_classifier(str(settings.model), settings.model_revision, settings.hub_token)
    answers = Answers(
        found.problem,
        found.label_names,
        settings.top_k,
        settings.abstain_below,
        settings.threshold,
        each=settings.probabilities,
        thresholds=found.thresholds,
        coverage=settings.coverage,
        sets=found.sets,
    )  # before the input: these mistakes need no file
    asked = settings.columns(found.modality)
    keep = tuple(name.strip() for name in (settings.keep or "").split(",") if name.strip())
    data = open_input(
        source, found.modality, settings.input_format, asked, found.columns, f"--model {found.name}", keep
    )
    usable_device(settings.device)
    with bars_for_people():
        classifier = found.load(settings.device, settings.dtype, settings.max_length)
        classifier = replace(classifier, max_pixels=settings.max_pixels)
    counts = write_answers(
        classifier,
        data,
        replace(answers, files=data.files, kept=data.kept),
        settings.output,
        kind,
        batch_size=settings.batch_size,
        window=WINDOW if os.path.isfile(source) else 1,  # who waits at the other end of a pipe sees each batch
        stop=settings.on_error == "stop",
    )
    if counts is None:  # nobody reads on
        return 0
    for note in data.notes():
        say(note)
    parts = [f"{counts.answered} row{'s' if counts.answered > 1 else ''}"]
    if settings.abstain_below is not None:
        share = counts.abstained / counts.answered
        parts.append(f"{counts.abstained} abstained ({share:.1%} below {settings.abstain_below:g})")
    if counts.left_out:
        parts.append(f"{counts.left_out} left out, because they could not be read")
    say(", ".join(parts) + (f": {settings.output}" if settings.output else ""))
    return 0
