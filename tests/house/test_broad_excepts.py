"""Whoever catches everything says why."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "logitmix_hf"


def test_every_broad_except_has_its_reason_beside_it():
    bare = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"\s*except( \(?(Base)?Exception\b.*)?:", line) and "#" not in line:
                bare.append(f"{path.relative_to(PACKAGE)}:{number}")
    assert not bare
