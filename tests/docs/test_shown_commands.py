"""Every command of README and docs runs, as far as a tiny model can stand in for what it names."""

from __future__ import annotations

import glob
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from shown import AFTERWARDS, ALL, PICTURES, QUICK, TRAININGS, flags_of_run, small

from logitmix_hf.cli import main as logitmix
from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.glue import parse
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.commands.vision import parse as parse_vision


@pytest.mark.parametrize("command", TRAININGS)
def test_a_training_on_texts_runs(command, here, model, hub):
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
        if "--label_column" in words:  # digits have no columns
            del words[(place := words.index("--label_column")) : place + 2]
        words = [word.replace("digits=digits", "others=./flowers") for word in words]  # which are its own classes now
        words += ["--dataset", "digits", "--model", "digits", "--max_train_samples", "40"]
    elif any(word.startswith("google/") for word in words):
        words += ["--model", "resnet18", "--image_size", "32"]
    assert vision(words) == 0
    (record,) = list(Path("runs").glob("*/run.json"))
    mix = parse_vision(words).mix
    assert json.loads(record.read_text())["method"]["name"] == mix.method
    assert (record.parent / "mix_preview.png").is_file() == mix.mixes


def test_the_push_pushes_what_its_own_training_made(here, model, hub):
    (push,) = [command for command in ALL if command.startswith("logitmix push")]
    folder = shlex.split(push)[2]
    (training,) = [
        command for command in TRAININGS if f"--output_dir {folder}" in command and "--train_file" in command
    ]
    assert glue(small(flags_of_run(shlex.split(training)), model)) == 0
    assert logitmix([word.replace("user/", "ada/") for word in shlex.split(push)[1:]]) == 0
    ((name, branches),) = hub.repos.items()
    assert f"user/{name.removeprefix('ada/')}" in push
    assert {"model.safetensors", "README.md", "eval_results.json"} <= set(branches["main"])


@pytest.fixture
def trained(command, here, home, shallow, pictured):
    """The runs that a command speaks of, made before it: of texts, or of images where its name says so."""
    new = set(re.findall(r"--(?:output|output_dir|save)[ =](runs/[\w./-]+)", command))
    names = set(re.findall(r"runs/[\w-]+", command)) | (
        {"runs/reviews", "runs/reviews-s2"} if "runs/*" in command else set()
    )
    texts = shallow if command.startswith("logitmix export") else home
    for name in names - new:
        source = pictured if re.search("flowers|digits|cifar", name) else texts / "runs" / "reviews"
        shutil.copytree(source, here / name)
    return here


@pytest.mark.parametrize("command", AFTERWARDS)
def test_what_follows_a_training_runs(command, trained, home, pictured, monkeypatch, capsys):
    """On runs of a step, and with them in place of models of the Hub. What comes by a pipe comes by stdin."""
    before, _, last = command.rpartition("|")
    if before:
        (_, name) = shlex.split(before)  # cat FILE
        piped = io.TextIOWrapper(io.BytesIO((trained / name).read_bytes()), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", piped)
    last, _, into = last.partition(">")
    words = [found for word in shlex.split(last) for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    for index, word in enumerate(words):
        if (
            re.fullmatch(r"[\w.-]+/[\w.-]+", word)
            and not Path(word).exists()
            and words[index - 1] in ("--model", "export")
        ):
            words[index] = str(pictured if re.search("vit|resnet", word) else home / "runs" / "reviews")
    listed = set(trained.rglob("*"))
    assert logitmix(words[1:]) == 0
    told = capsys.readouterr().out
    assert told.strip() or set(trained.rglob("*")) - listed
    if "--output" in words:
        assert Path(words[words.index("--output") + 1]).exists()
    if into:  # the shell would have written it
        Path(into.strip()).write_text(told)
