"""The wheel: built from the tracked files, holding the package and nothing else, working where there is no checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the wheel is built by hatchling, of the extra dev")
pytestmark = pytest.mark.slow  # other processes

ROOT = Path(__file__).parents[2]
BUILD = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"


def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return sorted(name for name in listed.decode().split("\0") if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built by hatchling itself, so that nothing is fetched, from a copy of the tracked files, as a clone has them."""
    home = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        target = home / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    command = [sys.executable, "-c", BUILD, str(home)]
    done = subprocess.run(command, cwd=home / "checkout", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(home / done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder that an installer would fill."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def logitmix(installed: Path, cwd: Path, *words: object, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command with the unpacked wheel in place of whatever is installed, far from the checkout."""
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    start = ["-c", code] if code else ["-m", "logitmix_hf.cli"]
    return subprocess.run(
        [sys.executable, *start, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_holds_the_package_the_recipes_and_nothing_else(wheel):
    names = [name for name in wheel.namelist() if not name.endswith("/")]
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    described = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    package = {name for name in tracked() if name.startswith("logitmix_hf/")}
    recipes = {f"logitmix_hf/{name}" for name in tracked() if name.startswith(("recipes/", "configs/"))}
    assert set(names) == package | recipes | described
    assert len(names) == len(set(names))
    assert {
        "logitmix_hf/py.typed",
        "logitmix_hf/recipes/paper.json",
        "logitmix_hf/configs/ddp.yaml",
        "logitmix_hf/reporting/card/card.md.j2",
        "logitmix_hf/evaluation/modules/calibration/calibration.py",
        "logitmix_hf/evaluation/modules/glue_scores/glue_scores.py",
    } <= set(names)


def test_it_says_who_it_is(wheel, installed):
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "logitmix_hf"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    needs = metadata.get_all("Requires-Dist", [])
    assert [need for need in needs if "extra" not in need and need.startswith("torch>=")]
    assert not [need for need in needs if " @ " in need or "file:" in need]
    assert "logitmix = logitmix_hf.cli:main" in wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    told = logitmix(installed, installed, "--version")
    assert told.stdout == f"logitmix {metadata['Version']}\n"


def test_an_index_shows_its_readme_whole(wheel, tmp_path):
    """No link starts from nowhere, and what uploads it finds nothing to complain of."""
    pytest.importorskip("twine", reason="the check before an upload is twine's, of the extra dev")
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    homes = dict(entry.split(", ") for entry in metadata.get_all("Project-URL", []))
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert len(links) > 15
    assert all(link.startswith(("https://", "#")) for link in links)
    own = [link for link in links if link.startswith(homes["Homepage"])]
    assert len(own) > 15
    missing = [link for link in own if not (ROOT / link.split("/HEAD/")[1].partition("#")[0]).exists()]
    assert missing == []
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel.filename)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_its_commands_and_recipes_are_there_without_a_checkout(installed, tmp_path):
    """`make wheel` trains by what an index would give."""
    told = logitmix(installed, tmp_path, "--help")
    assert told.returncode == 0, told.stderr
    assert "logitmix glue --task rte --method logitmix" in told.stdout
    code = """
from pathlib import Path
import logitmix_hf, logitmix_hf.flags as flags
assert flags.recipes_folder() == Path(logitmix_hf.__file__).parent / "recipes", flags.recipes_folder()
print(Path(logitmix_hf.__file__).parent, *flags.with_recipe(["--recipe", "paper"]))
"""
    told = logitmix(installed, tmp_path, code=code)
    assert told.returncode == 0, told.stderr
    place, *words = told.stdout.split()
    assert place == str(installed / "logitmix_hf")
    assert words[words.index("--sim_form") + 1] == "l2"
    assert list(tmp_path.iterdir()) == []
