"""Every shell and Python block of README and docs: Python runs, commands run where a tiny model can stand in."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import shlex
import sys
from pathlib import Path

import datasets.config
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from PIL import Image
from test_trainer import Rows, no_dropout
from tiny import CONFIGS, build
from tinyrun import flags
from torch.distributed.run import get_args_parser
from transformers import AutoTokenizer, TrainingArguments

from logitmix_hf import LogitMixLoss
from logitmix_hf.cli import COMMANDS
from logitmix_hf.cli import main as logitmix
from logitmix_hf.text.run import main as glue
from logitmix_hf.text.run import parse
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.vision.networks import build_network
from logitmix_hf.vision.run import main as vision
from logitmix_hf.vision.run import parse as parse_vision

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reporting"))
from loopback_hub import LoopbackHub  # noqa: E402

README, BENCHMARKS = ROOT / "README.md", ROOT / "benchmarks" / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", BENCHMARKS, *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+", re.M)
SHOWN_ONLY = {"csv", "json", "bibtex", "text"}
SHORTER = {'"google-bert/bert-base-uncased", num_labels=2': "MODEL, num_labels=3", "n_trials=20": "n_trials=1"}
QUICK = (
    "--max_steps 1 --max_eval_samples 16 --use_cpu true --disable_tqdm true --report_to none --eval_strategy no"
    " --per_device_train_batch_size 8 --save_strategy no --cache_dir cache"
)
TOKEN = "loopback-secret-70c5"


def blocks_of(page: Path) -> list[tuple[str, str]]:
    text = page.read_text(encoding="utf-8")
    indented = [("sh", re.sub(r"^ {4}", "", block, flags=re.M)) for block in INDENTED.findall(FENCED.sub("", text))]
    return FENCED.findall(text) + indented


def commands_of(page: Path) -> list[str]:
    lines = [line for kind, text in blocks_of(page) if kind == "sh" for line in text.replace("\\\n", " ").splitlines()]
    return [command for line in lines if (command := line.partition("#")[0].strip())]


PYTHON = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (kind, text) in enumerate(blocks_of(page))
    if kind == "python"
]
COMMANDS_SHOWN = [(page, command) for page in PAGES for command in commands_of(page)]
PICTURES = [
    command
    for page in PAGES
    for command in commands_of(page)
    if ("run_vision.py" in command or command.startswith("logitmix vision")) and "--help" not in command
]
TRAININGS = [
    command
    for command in commands_of(README)
    if ("run_glue.py" in command or command.startswith("logitmix glue")) and "--help" not in command
]


def test_every_block_has_a_kind_that_is_run_or_only_shown():
    kinds = [kind for page in PAGES for kind, _ in blocks_of(page)]
    assert set(kinds) <= {"sh", "python"} | SHOWN_ONLY
    assert kinds.count("python") >= 8
    assert len(TRAININGS) >= 15
    # No fence was missed for being written in another way.
    assert sum(page.read_text(encoding="utf-8").count("```") for page in PAGES) == 2 * sum(
        len(FENCED.findall(page.read_text(encoding="utf-8"))) for page in PAGES
    )


# --- what stands in for the Hub and for the reader's files ----------------------------------------------------------


def shown(kind: str) -> str:
    """The one block of that kind in the README: the reader's file, as it says that files look."""
    (text,) = [text for found, text in blocks_of(README) if found == kind]
    return text


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    """As deep as the models that the pages name, so that their sites exist."""
    folder = str(tmp_path_factory.mktemp("deep"))
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    build(CONFIGS["bert"], num_hidden_layers=12).base_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with the reader's files, and the Hub's data sets as folders."""
    folder = tmp_path_factory.mktemp("desk")
    head, *rows = csv.reader(io.StringIO(shown("csv")))
    with (folder / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows * 20])
    for name in ("pairs.tsv", "pairs-dev.tsv"):
        lines = [f"who is {n}?\tit is {n + n % 2}\t{n % 2}" for n in range(16)]
        (folder / name).write_text("\n".join(["question\tanswer\tlabel", *lines]) + "\n")
    prices = {"advert": [f"a house of {n} rooms" for n in range(16)], "price": list(range(16))}
    pq.write_table(pa.table(prices), folder / "prices.parquet")
    row = json.loads(shown("json"))
    others = [{**row, "labels": labels} for labels in (row["labels"], row["labels"][:1], [])]
    (folder / "topics.jsonl").write_text("".join(json.dumps(other) + "\n" for other in others * 8))
    for name, task in TASKS.items():
        split = {column: [f"{column} number {n}" for n in range(16)] for column in task.columns}
        split["label"] = [n % len(task.label_names) if task.label_names else n / 4 for n in range(16)]
        _write_splits(folder / "nyu-mll" / "glue" / name, split, ["train", *task.validation.values()], task.test)
    for name in ("daisy", "tulip"):
        (folder / "flowers" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (20, 16), (20 * number, 90 * len(name), 7)).save(
                folder / "flowers" / name / f"{number}.png"
            )
    films = {"text": ["a film"] * 16, "label": [0, 1] * 8}
    _write_splits(folder / "cornell-movie-review-data" / "rotten_tomatoes", films, ["train", "validation"], ["test"])
    return folder


def _write_splits(folder: Path, table: dict, labelled, unlabelled) -> None:
    folder.mkdir(parents=True)
    hidden = {**table, "label": [-1] * 16 if isinstance(table["label"][0], int) else [-1.0] * 16}
    for split in (*labelled, *unlabelled):
        rows = hidden if split in unlabelled else table
        pq.write_table(pa.table(rows), folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture
def here(desk, tmp_path, monkeypatch) -> Path:
    """Where the reader stands: the files of the desk, nothing cached, and a small Hub within reach."""
    for path in desk.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with LoopbackHub(token=TOKEN) as running:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield running


def small(words: list[str], model: str) -> list[str]:
    """The flags with a tiny model, few rows and one step; the last of two equal flags counts."""
    changes = "--max_steps 1 --max_eval_samples 16 --max_length 16 --use_cpu true --disable_tqdm true --report_to none"
    changed = [*words, *changes.split(), "--eval_strategy", "no", "--save_strategy", "no", "--model", model]
    if "builtin" in words:
        changed += ["--max_train_samples", "16"]
    elif "--task" in words:
        changed += ["--dataset_name", "nyu-mll/glue"]  # a folder here
    return changed


# --- Python ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tiny_model, files, tmp_path_factory) -> Path:
    """A folder with the run that the pages speak of."""
    folder = tmp_path_factory.mktemp("home")
    assert glue(flags(tiny_model, files, folder / "runs" / "reviews", method="vanilla", save_strategy="no")) == 0
    return folder


@pytest.mark.parametrize("text", PYTHON)
def test_python_runs(text, tiny_model, home, tmp_path, monkeypatch):
    """With the names that a reader has at that place; training is cut to a step and a search to a trial."""
    monkeypatch.chdir(home)
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


# --- commands -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("command", TRAININGS)
def test_a_training_of_the_readme_runs(command, here, model, hub):
    words = small(flags_of_run(shlex.split(command)), model)
    words = [word.replace("user/", "ada/") for word in words]  # who owns the token
    again = {"--resume", "--overwrite"} & set(words)
    if again:  # what there is to go on from, or to replace
        words += ["--save_strategy", "steps", "--save_steps", "1"]
        assert glue([word for word in words if word not in again]) == 0
    assert glue(words) == 0
    (record,) = list(Path("runs").glob("*/run.json"))
    results = json.loads(record.with_name("eval_results.json").read_text())
    run = parse(words)
    assert json.loads(record.read_text())["method"]["name"] == run.mix.method
    assert ("eval_ece" in results) == (not run.data.regression)
    if "--do_predict" in words:
        assert record.with_name("RTE.tsv").is_file()
    assert ("--push_to_hub" in words) == bool(hub.repos)


@pytest.mark.parametrize("command", PICTURES)
def test_a_training_on_images_runs(command, here):
    """What needs the Hub runs on digits instead, or with a network of ours."""
    words = flags_of_run(shlex.split(command))
    words += QUICK.split()
    own = "./flowers" in words or "digits" in words
    if not own:
        words += ["--dataset", "digits", "--model", "digits", "--max_train_samples", "40"]
    elif any(word.startswith("google/") for word in words):
        words += ["--model", "resnet18", "--image_size", "32"]
    assert vision(words) == 0
    (record,) = list(Path("runs").glob("*/run.json"))
    assert json.loads(record.read_text())["method"]["name"] == parse_vision(words).mix.method
    assert (record.parent / "mix_preview.png").is_file()


def test_the_push_of_the_readme_pushes_what_its_own_training_made(here, model, hub):
    (push,) = [command for command in commands_of(README) if command.startswith("logitmix push")]
    folder = shlex.split(push)[2]
    (training,) = [
        command for command in TRAININGS if f"--output_dir {folder}" in command and "--train_file" in command
    ]
    assert glue(small(flags_of_run(shlex.split(training)), model)) == 0
    assert logitmix([word.replace("user/", "ada/") for word in shlex.split(push)[1:]]) == 0
    ((name, branches),) = hub.repos.items()
    assert f"user/{name.removeprefix('ada/')}" in push
    assert {"model.safetensors", "README.md", "eval_results.json"} <= set(branches["main"])


def known_in(file: Path, words: list[str]) -> bool:
    """Whether a script's source speaks of each flag in ``words``."""
    source = file.read_text(encoding="utf-8")
    return all(re.search(rf"\"{word}\"", source) for word in words if word.startswith("--"))


@pytest.mark.parametrize("command", [command for _, command in COMMANDS_SHOWN])
def test_every_command_is_one_that_exists(command, tmp_path, monkeypatch, capsys):
    """What is not run above, too: a table of results says how it was made, and that must stay a command line."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    if "run_vision.py" in words or words[:2] == ["logitmix", "vision"]:
        assert (ROOT / "run_vision.py").is_file()
        assert words[2:] == ["--help"] or parse_vision([*flags_of_run(words), "--use_cpu"]).training.output_dir
    elif "run_glue.py" in words:
        assert (ROOT / "run_glue.py").is_file()
        assert parse([*flags_of_run(words), "--use_cpu"]).training.output_dir
    elif words[0] == "logitmix":
        assert words[1] in COMMANDS
        if words[1] == "glue" and words[2:] != ["--help"]:
            assert parse(words[2:]).training.output_dir
        elif words[1] in ("demo", "demo-vision", "spiral") or words[2:] == ["--help"]:
            with pytest.raises(SystemExit) as end:
                logitmix([*words[1:], "--help"])
            assert end.value.code == 0
            assert all(word in capsys.readouterr().out for word in words if word.startswith("--"))
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
    else:
        raise AssertionError(f"nothing here checks {command!r}: add a rule that does")
