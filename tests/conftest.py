"""What every test may rely on: the helpers beside this file, no network, few threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# Tests must not reach for the Hub, not even by accident.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent / "text"))
sys.path.insert(0, str(Path(__file__).parent / "vision"))

from tinyfixtures import files, tiny_model  # noqa: F401  the fixtures of every folder
