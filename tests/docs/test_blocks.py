"""Every shell and Python block of README and docs: Python runs, commands are parsed by what would run them."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch
from test_trainer import Rows, no_dropout
from tinyrun import flags
from transformers import AutoTokenizer, TrainingArguments

from logitmix_hf.cli import COMMANDS
from logitmix_hf.text.run import main, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
BLOCKS = [(page.name, kind, text) for page in PAGES for kind, text in BLOCK.findall(page.read_text())]


SHORTER = {'"google-bert/bert-base-uncased", num_labels=2': "MODEL, num_labels=3", "n_trials=20": "n_trials=1"}


def test_there_are_blocks_and_each_has_a_kind():
    shown_only = {"csv", "json", "bibtex"}
    assert {kind for _, kind, _ in BLOCKS} <= {"sh", "bash", "python"} | shown_only
    assert sum(kind == "python" for _, kind, _ in BLOCKS) >= 5


@pytest.fixture(scope="module")
def home(tiny_model, files, tmp_path_factory):
    """A folder with the run that the pages speak of."""
    folder = tmp_path_factory.mktemp("home")
    assert main(flags(tiny_model, files, folder / "runs" / "reviews", method="vanilla", save_strategy="no")) == 0
    return folder


@pytest.mark.parametrize("number", [n for n, (_, kind, _) in enumerate(BLOCKS) if kind == "python"])
def test_python_runs(number, tiny_model, home, tmp_path, monkeypatch):
    """With the names that a reader has at that place; training is cut to a step and a search to a trial."""
    monkeypatch.chdir(home)
    _, _, text = BLOCKS[number]
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    data, model = Rows(), no_dropout()
    args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, max_steps=1, report_to="none", save_strategy="no", eval_strategy="steps"
    )
    names = {"model": model, "args": args, "train": data, "validation": data, "MODEL": tiny_model}
    names |= {"tokenizer": AutoTokenizer.from_pretrained(tiny_model), "loader": [{**data.batch, "labels": data.labels}]}
    names["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    exec(compile(text, "block", "exec"), names)
    if ("trainer.train()" in text and "LoraConfig" not in text) or "optimizer.step()" in text:
        assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def commands() -> list[str]:
    found = []
    for _, kind, text in BLOCKS:
        if kind in ("sh", "bash"):
            lines = text.replace("\\\n", " ").splitlines()
            found += [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    return found


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_exists(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    if "run_glue.py" in words:
        assert words[0] in ("accelerate", "torchrun", "python")
        assert (ROOT / "run_glue.py").is_file()
        # bf16 asks for a GPU that this machine may lack: that it is a flag, the parser has said before it looks.
        assert parse([word for word in words[words.index("run_glue.py") + 1 :] if word != "--bf16"])
    elif words[0] == "logitmix":
        assert words[1] in COMMANDS
        if words[1:] == ["glue", "--help"]:
            return
        if words[1] == "glue":
            assert parse(words[2:]).training.output_dir
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert words[1] in targets
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[([\w,]+)\]", words[2])
        listed = (ROOT / "pyproject.toml").read_text()
        assert all(f"\n{name} = [" in listed for extra in extras for name in extra.split(","))
    elif words[:2] == ["git", "clone"] or words[0] in ("cd", "pre-commit"):
        pass
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2])
    else:
        raise AssertionError(f"nothing here checks {command!r}: add a rule that does")
