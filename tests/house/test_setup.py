"""`make setup` on machines that lack something, with stand-ins for Python, pip and df: nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("make", "sh", "awk", "sed", "cksum", "dirname", "mkdir", "cp")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in (*TOOLS, "df")), reason="needs make and a POSIX shell"
)

FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *'print('*) echo {version} ;;
    *'import venv, ensurepip'*) exit {lacks_venv} ;;
    *find_spec*) [ -f .venv/torch ] ;;
    *version_info*) exit {too_old} ;;
    '-m venv'*) echo "{name} $*" >>log; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    '-m pip'*) echo "$*" >>log; {pip} ;;
    *) echo "unforeseen: $*" >&2; exit 9 ;;
esac
"""


class Machine:
    """A folder with the project's set-up and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.clone = folder / "a clone"
        self.bin.mkdir()
        (self.clone / "scripts").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "scripts/setup.sh"):
            shutil.copy(ROOT / name, self.clone / name)
        for tool in (*TOOLS, "rm"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.disk(gigabytes=50)

    def add(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def python(self, name: str, version: str, *, venv: bool = True, pip: str = ": >.venv/torch") -> None:
        too_old = int(tuple(map(int, version.split("."))) < (3, 10))
        self.add(
            name, FAKE_PYTHON.format(name=name, version=version, lacks_venv=int(not venv), too_old=too_old, pip=pip)
        )

    def disk(self, gigabytes: float) -> None:
        line = f"/dev/disk 99999999 1 {int(gigabytes * 1024**2)} 1% /"
        self.add("df", f"#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho '{line}'\n")

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "setup", *arguments],
            cwd=self.clone,
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def fails(self, *arguments: str) -> str:
        """The one line that `make setup` says before make's own."""
        done = self.setup(*arguments)
        assert done.returncode == 2, done.stderr
        said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
        assert len(said) == 1, done.stderr
        assert said[0].startswith("error: ")
        return said[0]

    @property
    def log(self) -> list[str]:
        path = self.clone / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


INSTALL = "-m pip install --disable-pip-version-check"


def test_it_installs_once(machine: Machine) -> None:
    machine.python("python3", "3.12")
    assert machine.setup().returncode == 0
    done = ["python3 -m venv --clear .venv", f"{INSTALL} -e .[dev]"]
    assert machine.log == done
    again = machine.setup()
    assert (again.returncode, again.stdout) == (0, "")
    assert machine.log == done


def test_it_installs_again_when_the_project_file_changed_or_the_clone_moved(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.setup()
    (machine.clone / "pyproject.toml").touch()
    machine.setup()
    assert len(machine.log) == 2, "a touched file is not a changed one"
    with (machine.clone / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    machine.setup()
    assert machine.log[2:] == [f"{INSTALL} -e .[dev]"], "the environment itself is kept"
    machine.clone = machine.clone.rename(machine.clone.with_name("moved"))
    machine.setup()
    assert len(machine.log) == 4


def test_a_new_enough_python_is_found_behind_an_old_one(machine: Machine) -> None:
    machine.python("python3", "3.9")
    machine.python("python3.13", "3.13", venv=False)
    machine.python("python3.11", "3.11")
    assert machine.setup().returncode == 0
    assert machine.log[0] == "python3.11 -m venv --clear .venv"


def test_the_user_picks_the_python(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.python("mine", "3.10")
    machine.setup()
    machine.setup("PYTHON=mine")
    assert machine.log[2] == "mine -m venv --clear .venv", "an environment of another version is made anew"
    before = machine.log
    machine.setup("PYTHON=mine")
    assert machine.log == before


def test_torch_and_torchvision_come_first_and_from_one_index(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.setup("TORCH_INDEX=https://example.org/cpu")
    first = [
        "python3 -m venv --clear .venv",
        f"{INSTALL} --index-url https://example.org/cpu torch torchvision",
        f"{INSTALL} -e .[dev]",
    ]
    assert machine.log == first
    machine.setup("TORCH_INDEX=https://example.org/cpu")
    machine.setup()
    assert machine.log == first
    machine.setup("TORCH_INDEX=https://example.org/other")
    assert machine.log[3] == first[0], "no torch of one build beside torchvision of another"


def test_an_installation_that_stopped_goes_on(machine: Machine) -> None:
    machine.python("python3", "3.12", pip="exit 1")
    assert "make setup goes on" in machine.fails()
    (machine.clone / ".venv/bin/python").write_text(
        (machine.bin / "python3").read_text().replace("exit 1", ": >.venv/torch")
    )
    assert machine.setup().returncode == 0
    assert len([line for line in machine.log if "venv" in line]) == 1


def test_python_too_old(machine: Machine) -> None:
    machine.python("python3", "3.9")
    machine.python("python3.10", "2.7")
    said = machine.fails()
    assert "3.10 or newer is needed, python3 is 3.9, python3.10 is 2.7" in said
    assert "make setup PYTHON=" in said
    assert machine.log == []


def test_no_python(machine: Machine) -> None:
    assert "no Python found (tried python3 python3.13 python3.12 python3.11 python3.10)" in machine.fails()
    assert "no Python found (tried nowhere)" in machine.fails("PYTHON=nowhere")


def test_something_else_under_the_name_of_python(machine: Machine) -> None:
    machine.add("python3", "#!/bin/sh\nexit 3\n")
    assert "python3 does not run as a Python interpreter" in machine.fails()


def test_python_without_venv(machine: Machine) -> None:
    machine.python("python3", "3.11", venv=False)
    said = machine.fails()
    assert "python3 (3.11) lacks venv or ensurepip" in said
    assert "apt install python3-venv" in said


def test_a_disk_too_small(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.disk(gigabytes=8.5)
    said = machine.fails()
    assert "about 9 GB are needed for .venv and 8.5 GB are free" in said
    assert "TORCH_INDEX=https://download.pytorch.org/whl/cpu" in said
    assert machine.log == []
    assert machine.setup("TORCH_INDEX=https://example.org/cpu").returncode == 0, "a CPU-only torch would fit"
    machine.disk(gigabytes=1)
    (machine.clone / "pyproject.toml").write_text("# changed\n")
    assert machine.setup().returncode == 0, "torch is there already"
