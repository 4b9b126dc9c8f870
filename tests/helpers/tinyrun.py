"""Sentences with a label, and the flags of a run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from logitmix_hf.commands.glue import main as glue

WORDS = ["good", "bad", "fine", "poor", "film", "meal", "very", "not", "the", "a", "was", "is"]


def rows(count: int, seed: int) -> pa.Table:
    """Sentences whose label is whether they hold more good words than bad ones."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        words = draw.choice(WORDS, 5)
        texts.append(" ".join(words))
        labels.append("up" if sum(w in ("good", "fine") for w in words) else "down")
    return pa.table({"text": texts, "stars": labels})


def flags(model: str, files: Path, output, **changes) -> list[str]:
    values = {
        "model": model,
        "train_file": files / "train.csv",
        "validation_file": files / "validation.csv",
        "label_column": "stars",
        "output_dir": output,
        "site": "layer.1",
        "max_length": 32,
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
        "logging_steps": 2,
        "disable_tqdm": "true",
        "use_cpu": "true",
        **changes,
    }
    return [word for name, value in values.items() if value is not None for word in (f"--{name}", str(value))]


def calibrated_run(model: str, files: Path, folder: Path, **changes) -> Path:
    """Two epochs, with 90 rows of their own for a temperature and what else is fitted beside it."""
    csv.write_csv(rows(90, 11), folder.parent / "more.csv")
    more = {"calibration_file": folder.parent / "more.csv", "bootstrap": 0, **changes}
    assert glue(flags(model, files, folder, num_train_epochs=2, **more)) == 0
    return folder
