"""What several tests of trainings look at, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tinyrun import calibrated_run


@pytest.fixture(scope="session")
def decided(tiny_model, files, tmp_path_factory) -> Path:
    """A run whose temperature, thresholds and sets are fitted on 90 rows of their own."""
    return calibrated_run(tiny_model, files, tmp_path_factory.mktemp("decided") / "out", cost="FN=9,FP=1")
