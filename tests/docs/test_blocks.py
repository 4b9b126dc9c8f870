"""Every Python block of README and docs runs; every command that they show exists."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
from shown import ALL, FENCED, PAGES, ROOT, SHOWN_ONLY, TRAININGS, WALKED, blocks_of, flags_of_run
from test_trainer import Rows, no_dropout
from transformers import AutoTokenizer, TrainingArguments

from logitmix_hf import LogitMixLoss
from logitmix_hf.cli import COMMANDS
from logitmix_hf.commands.glue import parse
from logitmix_hf.commands.vision import parse as parse_vision
from logitmix_hf.vision.networks import build_network

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
from parsers import flags_of

SERVER = ROOT / "logitmix_hf" / "serving" / "server.py"

SHORTER = {
    '"google-bert/bert-base-uncased", num_labels=2': "MODEL, num_labels=3",
    "n_trials=20": "n_trials=1",
    'model="google-bert/bert-base-uncased", ': 'model=MODEL, max_steps=1, max_length=64, use_cpu=True, report_to="none", ',
}
SHOWN = {
    text: f"{page.name}-{number}"
    for page in PAGES
    for number, (kind, text) in enumerate(blocks_of(page))
    if kind == "python" and page != WALKED
}
PYTHON = [pytest.param(text, id=name) for text, name in SHOWN.items()]


def test_every_block_has_a_kind_that_is_run_or_only_shown():
    kinds = [kind for page in PAGES for kind, _ in blocks_of(page)]
    assert set(kinds) <= {"sh", "python"} | SHOWN_ONLY
    assert kinds.count("python") >= 8
    assert len(TRAININGS) >= 15
    # No fence was missed for being written in another way.
    assert sum(page.read_text(encoding="utf-8").count("```") for page in PAGES) == 2 * sum(
        len(FENCED.findall(page.read_text(encoding="utf-8"))) for page in PAGES
    )


@pytest.mark.parametrize("text", PYTHON)
def test_python_runs(text, tiny_model, home, shallow, tmp_path, monkeypatch):
    """With the names that a reader has at that place; training is cut to a step and a search to a trial."""
    monkeypatch.chdir(shallow if "export_onnx" in text else home)
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    data, model = Rows(), no_dropout()
    args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, max_steps=1, report_to="none", save_strategy="no", eval_strategy="steps"
    )
    names = {"model": model, "args": args, "train": data, "validation": data, "MODEL": tiny_model}
    names |= {"tokenizer": AutoTokenizer.from_pretrained(tiny_model), "loader": [{**data.batch, "labels": data.labels}]}
    names |= {"network": build_network("digits", 3, 8), "loss_of": LogitMixLoss()}
    names |= {"generator": torch.Generator().manual_seed(0)}
    names["images"] = [{"pixel_values": torch.rand(4, 3, 8, 8), "labels": torch.tensor([0, 1, 2, 0])}]
    names["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    exec(compile(text, "block", "exec"), names)
    if ("trainer.train()" in text and "LoraConfig" not in text) or "optimizer.step()" in text:
        assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def known_in(file: Path, words: list[str]) -> bool:
    """Whether a script's source speaks of each flag in ``words``."""
    source = file.read_text(encoding="utf-8")
    return all(re.search(rf"\"{word}\"", source) for word in words if word.startswith("--"))


@pytest.mark.parametrize("command", ALL)
def test_every_command_is_one_that_exists(command, tmp_path, monkeypatch):
    """What is not run, too: a table of results says how it was made, and that must stay a command line."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.rpartition("|")[2].partition(">")[0])
    if "run_vision.py" in words or words[:2] == ["logitmix", "vision"]:
        assert (ROOT / "run_vision.py").is_file()
        assert words[2:] == ["--help"] or parse_vision([*flags_of_run(words), "--use_cpu"]).training.output_dir
    elif "run_glue.py" in words:
        assert (ROOT / "run_glue.py").is_file()
        assert parse([*flags_of_run(words), "--use_cpu"]).training.output_dir
    elif words[0] == "logitmix":
        assert words[1] in COMMANDS
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= flags_of(words[1]) | {"--help"}
        if words[1] == "glue" and words[2:] != ["--help"]:
            assert parse(words[2:]).training.output_dir
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
        settable = set(re.findall(r"\$\((\w+)\)", makefile)) | set(
            re.findall(r"^export (.*)$", makefile, re.M)[0].split()
        )
        assert {word for word in words[1:] if "=" not in word} <= targets
        assert {word.partition("=")[0] for word in words[1:] if "=" in word} <= settable
    elif words[:2] == ["pip", "install"]:
        extras = [name for given in re.findall(r"\[([\w,]+)\]", words[2]) for name in given.split(",")]
        assert words[2].partition("[")[0] in (".", "logitmix_hf")
        assert all(f"\n{name} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8") for name in extras)
    elif words[:2] == ["python", "-m"]:
        module = importlib.util.find_spec(words[2])
        assert module is not None
        assert module.origin is not None
        assert known_in(Path(module.origin), words)
    elif words[0] == "curl":  # of the server: one of its roads, and a request in its form
        roads = {path for _, path in re.findall(r"\.(get|post)\(\"(/\w*)\"", SERVER.read_text(encoding="utf-8"))}
        assert urlparse(words[1]).path in roads
        assert json.loads(words[words.index("-d") + 1])["inputs"]
    else:
        raise AssertionError(f"nothing here checks {command!r}: add a rule that does")
