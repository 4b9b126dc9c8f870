"""What README and docs show: their blocks by kind, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

ROOT = Path(__file__).parents[2]
README, BENCHMARKS, DATA = ROOT / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "docs" / "data.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", BENCHMARKS, *sorted((ROOT / "docs").glob("*.md"))]
# Its blocks build on each other: tests/docs/test_extending.py takes them in their order.
WALKED = ROOT / "docs" / "extending.md"
# Commands of the results are experiments of hours on data that is not here: they are parsed, not run.
RUN = [page for page in PAGES if page.name != "RESULTS.md"]
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+", re.M)
SHOWN_ONLY = {"yaml", "csv", "json", "bibtex", "text"}
QUICK = (
    "--max_steps 1 --max_eval_samples 16 --use_cpu true --disable_tqdm true --report_to none --eval_strategy no"
    " --per_device_train_batch_size 8 --save_strategy no --cache_dir cache"
)
AFTER_TRAINING = ("calibrate", "card", "ensemble", "export", "predict", "report")


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """(kind, text) of each block; an indented one is a shell's."""
    text = page.read_text(encoding="utf-8")
    indented = [("sh", re.sub(r"^ {4}", "", block, flags=re.M)) for block in INDENTED.findall(FENCED.sub("", text))]
    return FENCED.findall(text) + indented


def commands_of(page: Path) -> list[str]:
    """The lines of its shell blocks without comments, continued ones joined."""
    lines = [line for kind, text in blocks_of(page) if kind == "sh" for line in text.replace("\\\n", " ").splitlines()]
    return [command for line in lines if (command := line.partition("#")[0].strip())]


def unique(commands: list[str]) -> list[str]:
    """Each command once, however often the pages show it."""
    return list({tuple(shlex.split(command)): command for command in commands}.values())


def is_text(command: str) -> bool:
    return "--help" not in command and ("run_glue.py" in command or command.startswith("logitmix glue"))


def is_vision(command: str) -> bool:
    return "--help" not in command and ("run_vision.py" in command or command.startswith("logitmix vision"))


def follows(command: str) -> bool:
    """Whether it is a command for what was trained before, such as ``logitmix report runs/*``."""
    found = re.search(r"(?:^|\| *)logitmix ([\w-]+)", command)
    return found is not None and found[1] in AFTER_TRAINING and "--help" not in command


ALL = unique([command for page in PAGES for command in commands_of(page)])
TRAININGS = [command for command in unique([c for page in RUN for c in commands_of(page)]) if is_text(command)]
PICTURES = [command for command in ALL if is_vision(command)]
AFTERWARDS = [command for command in unique([c for page in RUN for c in commands_of(page)]) if follows(command)]


def example(kind: str) -> str:
    """The one block of that kind in docs/data.md: the reader's file, as the page says that files look."""
    (text,) = [text for found, text in blocks_of(DATA) if found == kind]
    return text


def small(words: list[str], model: str) -> list[str]:
    """The flags with a tiny model, few rows and one step; the last of two equal flags counts."""
    changes = "--max_steps 1 --max_eval_samples 16 --max_length 16 --use_cpu true --disable_tqdm true --report_to none"
    changed = [*words, *changes.split(), "--eval_strategy", "no", "--save_strategy", "no", "--model", model]
    if "--folds" in words:
        changed += ["--folds", "2"]
    if "builtin" in words:
        changed += ["--max_train_samples", "16"]
    elif "--task" in words:
        changed += ["--dataset_name", "nyu-mll/glue"]  # a folder here
    return changed


SCRIPTS = ("run_glue.py", "run_vision.py")


def flags_of_run(words: list[str]) -> list[str]:
    """The flags that a script or its command gets, after the launcher has read its own."""
    if words[:2] == ["accelerate", "launch"]:
        read = launch_command_parser().parse_args(words[2:])
        assert read.training_script in SCRIPTS
        return read.training_script_args
    if words[0] == "torchrun":
        read = get_args_parser().parse_args(words[1:])
        assert read.training_script in SCRIPTS
        return read.training_script_args
    assert words[:2] in (["logitmix", "glue"], ["logitmix", "vision"], *(["python", script] for script in SCRIPTS))
    return words[2:]
