"""A file that grows past 400 lines holds two things: split it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 400  # no file is excused


def test_files_stay_short() -> None:
    paths = [path for folder in ("logitmix_hf", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]
    paths += ROOT.glob("*.py")
    assert len(paths) > 10
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name: count for name, count in lines.items() if count >= LIMIT} == {}
