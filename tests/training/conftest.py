"""What several tests of trainings look at, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import csv
from tinyrun import flags, rows

from logitmix_hf.commands.glue import main as glue


@pytest.fixture(scope="session")
def decided(tiny_model, files, tmp_path_factory) -> Path:
    """A run whose temperature, thresholds and sets are fitted on 90 rows of their own."""
    folder = tmp_path_factory.mktemp("decided") / "out"
    csv.write_csv(rows(90, 11), folder.parent / "more.csv")
    more = {"calibration_file": folder.parent / "more.csv", "cost": "FN=9,FP=1", "bootstrap": 0}
    assert glue(flags(tiny_model, files, folder, num_train_epochs=2, **more)) == 0
    return folder
