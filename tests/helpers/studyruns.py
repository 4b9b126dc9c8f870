"""Studies of fake runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from logitmix_hf.studies.driver import Driver
from logitmix_hf.studies.engines.local import Local
from logitmix_hf.studies.file import StudyFile, parse_file
from logitmix_hf.studies.manifest import Cell, Study

PROGRAM = (sys.executable, "-S", str(Path(__file__).with_name("studychild.py")))


def fake_study(
    home: Path, fates: dict[str, str], *, retries: int = 2, steps: int = 3, pause: float = 0, hold: bool = False
) -> Study:
    """A study with one run for each name, that ends as its fate says."""
    file = fake_file(retries)
    folder = home / "studies" / "fake"
    cells = []
    for name, fate in fates.items():
        words = f"--fate {fate} --steps {steps} --pause {pause}{' --hold' if hold else ''} --output_dir".split()
        words.append(str(folder / "runs" / name))
        cells.append(Cell(name, {"task": name, "method": "m", "seed": 1}, words, folder / "runs" / name, key=name))
    return Study("fake", folder, "glue", file.compare, cells, file)


def fake_file(retries: int = 2) -> StudyFile:
    return parse_file(f"study: fake\ngrid: {{seed: [1]}}\nretries: {retries}\nresources: {{gpus: 0}}\n", "fake.yaml")


def drive(study: Study, most: int = 1, **more) -> Driver:
    """Run it here; the driver, when it is through."""
    driver = Driver(study, study.live, lambda: Local(study, most, PROGRAM), **more)
    driver.run()
    return driver


def attempts(study: Study, name: str) -> list[tuple]:
    """Each line of a run's attempts in short: ``("start", how)`` or ``("end", kind)``."""
    lines = (study.folder / "runs" / name / "attempts.jsonl").read_text().splitlines()
    entries = map(json.loads, lines)
    return [(entry["event"], entry.get("how", entry.get("kind"))) for entry in entries]


def trained(study: Study, name: str) -> int:
    """How often a run was carried to its end."""
    path = study.folder / "runs" / name / "trained.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0
