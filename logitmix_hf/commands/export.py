"""``logitmix export``: a classifier as an ONNX file, or a network of several members as a plain one; the same calibrated
probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.errors import UserError, check_choice, check_number, say
from logitmix_hf.flags import FlagParser, flag, word

FORMATS = {
    "onnx": "one file for onnxruntime",
    "plain": "a network of several members (MixMo) as a plain one with the same logits",
}


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and where to."""

    model: str = word(
        "MODEL", "the folder of a run, a Hub id, or a local folder", "a model first", "runs/NAME, a Hub id or a folder"
    )
    format: str = flag("export", "onnx", "; ".join(f"{name}: {idea}" for name, idea in FORMATS.items()))
    output: str | None = flag("export", None, "the folder to write; default RUN/FORMAT, or FORMAT-NAME for a Hub model")
    opset: int | None = flag("export", None, "version of ONNX's operators; default what torch thinks best")
    dtype: str = flag(
        "export",
        "fp32",
        "of an ONNX file: fp32; fp16, half the bytes; int8, a quarter; what it costs on rows is told",
    )
    rows: str | None = flag(
        "export",
        None,
        "rows that torch and the ONNX file are compared on, as predict reads them; default with fp16 and int8 the run's own",
    )
    overwrite: bool = flag("export", False, "replace an export that is there")
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    hub_token: str | None = flag("model", None, "token; default the one you logged in with")

    def __post_init__(self) -> None:
        check_choice("format", self.format, tuple(FORMATS))
        check_choice("dtype", self.dtype, ("fp32", "fp16", "int8"))
        if self.format == "plain" and (self.dtype != "fp32" or self.rows is not None):
            given = f"--dtype {self.dtype}" if self.dtype != "fp32" else f"--rows {self.rows}"
            raise UserError(f"{given} is of an ONNX file, and --format plain writes a network of torch: leave it out.")
        if self.rows is not None and not os.path.exists(self.rows):
            raise UserError(
                f"--rows {self.rows!r} does not exist: give a table or a folder of images, as predict reads them."
            )
        if self.format == "plain" and self.opset is not None:
            raise UserError(
                f"--opset {self.opset} is a version of ONNX, and --format plain writes a network of torch: leave it out."
            )
        check_number("opset", self.opset, low=18, optional=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([ExportSettings], prog="logitmix export", description=__doc__).parse(argv)[0]
    if settings.format == "plain":
        return _export_plain(settings)
    # Here, and not at the top: torch and transformers take seconds, and a misspelt flag needs neither.
    from logitmix_hf.serving.export import FILE, export_onnx

    made = export_onnx(
        settings.model,
        settings.output,
        settings.opset,
        dtype=settings.dtype,
        rows=settings.rows,
        overwrite=settings.overwrite,
        revision=settings.model_revision,
        token=settings.hub_token,
    )
    say(f"exported to {made.folder / FILE} ({made.size / 1e6:.1f} MB)", out=True)
    say(f"onnxruntime against torch on {made.trials} shapes: largest difference {made.difference:.1e}", out=True)
    if (cost := made.cost) is not None:
        say(
            f"on {cost.rows:,} rows of {cost.source}: largest difference {cost.difference:.1e} (of a logit"
            f" {cost.of_logits:.1e}), other answers {cost.other_answers}",
            out=True,
        )
        if cost.scores:
            told = ", ".join(f"{name} {before:.4f} → {after:.4f}" for name, (before, after) in cost.scores.items())
            say(f"torch → {settings.dtype}: {told}", out=True)
    elif settings.dtype != "fp32":
        say(
            "those inputs are random, and the rows of the run are not to be had: give rows of yours by --rows FILE",
            out=True,
        )
    if made.of_windows:
        say(
            "the graph reads one window of a text; how they are pooled stands under long_texts in its metadata",
            out=True,
        )
    return 0


def _export_plain(settings: ExportSettings) -> int:
    from logitmix_hf.serving.plain import export_plain

    made = export_plain(
        settings.model,
        settings.output,
        overwrite=settings.overwrite,
        revision=settings.model_revision,
        token=settings.hub_token,
    )
    say(
        f"{made.members} members as one network in {made.folder}: {made.before:,} parameters became {made.after:,}",
        out=True,
    )
    say(f"largest difference of a logit: {made.difference:.1e}", out=True)
    return 0
