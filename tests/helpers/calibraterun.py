"""A short `logitmix calibrate`, what it leaves, and what a run predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from logitmix_hf.cli import main as logitmix
from logitmix_hf.evaluation import Predictions

QUICK = ["--use_cpu", "true", "--disable_tqdm", "true", "--report_to", "none", "--bootstrap", "0"]


def calibrate(*words: Any) -> int:
    return logitmix(["calibrate", *map(str, words), *QUICK])


def predict(run: Path, files: Path, output: Path, *more: str) -> int:
    """What a run says of the validation texts, into ``output``."""
    words = ("--model", run, "--input", files / "validation.csv", "--text_columns", "text", "--device", "cpu")
    return logitmix(["predict", *map(str, words), "--output", str(output), *more])


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def saved(folder: Path, name: str) -> Predictions:
    return Predictions.load(folder / "predictions" / f"{name}.parquet")
