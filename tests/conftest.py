"""What every test may rely on: what lies in helpers/, no network, few threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/trainer"))
sys.path.insert(0, str(Path(__file__).parents[1] / "docs/_ext"))

# Tests must not reach for the Hub, not even by accident.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Runs in this process are compared, bit for bit, with runs in others, which have one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from drawing import quick_runs  # noqa: F401
from tinyfixtures import files, tiny_model  # noqa: F401  the fixtures of every folder

LONG = {
    "commands",
    "distributed",
    "docs",
    "ensembles",
    "estimators",
    "house",
    "serving",
    "studies",
    "trainer",
    "training",
}


def pytest_collection_modifyitems(items):
    """What trains or starts processes begins first: of the short files that are left two workers end together."""
    home = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(home).parts[0] not in LONG)
