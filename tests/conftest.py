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

from tinyfixtures import files, tiny_model  # noqa: F401  the fixtures of every folder
