"""A short `logitmix calibrate`, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from logitmix_hf.cli import main as logitmix
from logitmix_hf.evaluation import Predictions

QUICK = ["--use_cpu", "true", "--disable_tqdm", "true", "--report_to", "none", "--bootstrap", "0"]


def calibrate(*words: Any) -> int:
    return logitmix(["calibrate", *map(str, words), *QUICK])


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def saved(folder: Path, name: str) -> Predictions:
    return Predictions.load(folder / "predictions" / f"{name}.parquet")
