"""The command: what it says of mistakes, ids that stay, and an edited file."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from PIL import Image

from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.studies.file import parse_file
from logitmix_hf.studies.identity import run_id
from logitmix_hf.studies.manifest import read_study, write_manifest
from logitmix_hf.studies.resolve import resolved_study

FIXED = "dataset_name: builtin, model: builtin, max_length: 32"


def text_of(text):
    return text.replace("%s", FIXED)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def answered(monkeypatch):
    """The parser in this process, which has torch already."""
    from logitmix_hf.commands.study_check import read
    from logitmix_hf.studies import resolve

    def answers(file, runs, elsewhere, checker):
        return [read(file.command, run.words, elsewhere) for run in runs]

    monkeypatch.setattr(resolve, "_answers", answers)


def resolved(text):
    return resolved_study(parse_file(text, "t.yaml"))


def test_an_id_is_of_what_moves_a_score_and_of_nothing_else(answered):
    def ids(fixed="", seeds="[1, 2]", more=""):
        text = f"study: t\nfixed: {{{FIXED}{fixed}}}\ngrid: {{task: [cola], seed: {seeds}}}\n{more}"
        return [cell.id for cell in resolved(text).cells]

    one = ids()
    assert len(set(one)) == 2
    assert ids(", logging_steps: 7, save_strategy: no, run_name: x") == one
    assert ids(more="resources: {cpus: 2}\nretries: 5") == one
    assert ids(seeds="[2, 1]") == one[::-1]
    assert ids(", learning_rate: 2e-5") == one, "the default, said aloud"
    assert ids(", learning_rate: .00002") == one
    assert not set(ids(", learning_rate: 3e-5")) & set(one)
    assert not set(ids(", site: embeddings")) & set(one)


def test_a_baseline_that_no_run_has_is_told_before_the_first_one_starts(answered):
    text = f"study: t\nfixed: {{{FIXED}}}\ngrid: {{task: [cola], method: [vanilla, mixup]}}\ncompare: {{baseline: %s}}"
    assert len(resolved(text % "mixup").cells) == 2
    with pytest.raises(
        UserError, match=r"t.yaml: compare: baseline names 'vanila', .* mean 'vanilla'\? Methods: vanilla, mixup"
    ):
        resolved(text % "vanila")


def test_the_digest_is_what_the_design_says():
    """By another way: the text that is hashed, written by hand."""
    import hashlib

    text = '["glue",{"a":1,"b":["x",0.5],"seed":3}]'
    arguments = {"seed": 3.0, "b": ["x", 0.5], "a": 1, "output_dir": "x", "logging_steps": 3, "hub_token": "y"}
    assert run_id("glue", arguments) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_an_edited_file_adds_runs_and_drops_none(answered):
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola], method: [vanilla, mixup], seed: [1]}")
    first = resolved(text)
    write_manifest(first)
    second = resolved(text.replace("mixup", "logitmix"))
    write_manifest(second)
    again = read_study("studies/t")
    assert [(cell.labels["method"], cell.dropped) for cell in again.cells] == [
        ("vanilla", False),
        ("logitmix", False),
        ("mixup", True),
    ]
    assert again.cells[0] == first.cells[0]
    back = resolved(text)
    assert [(cell.id, cell.dropped) for cell in back.cells[:2]] == [(cell.id, False) for cell in first.cells]
    assert back.cells[0].name.startswith("cola-vanilla-s1-")


def test_a_run_whose_words_stay_keeps_its_id_though_a_library_has_new_arguments(answered, monkeypatch):
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola], seed: [1]}")
    write_manifest(resolved(text))
    from logitmix_hf.studies import resolve

    monkeypatch.setattr(resolve, "_answers", lambda *_: pytest.fail("it was read again"))
    assert resolved(text).cells == read_study("studies/t").cells


def test_two_runs_that_are_one(answered):
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola], logging_steps: [1, 2]}")
    with pytest.raises(UserError, match=r"\(task=cola logging_steps=1\) and \(task=cola logging_steps=2\)"):
        resolved(text)


@pytest.mark.slow
def test_a_mistake_in_any_run_is_the_commands_own_line_with_the_runs_name(tmp_path, capsys):
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola], method: [mixup], site: [embeddings, layr.1]}")
    (tmp_path / "t.yaml").write_text(text)
    assert main(["study", "run", "t.yaml"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert "layr.1" in line
    assert "(run task=cola method=mixup site=layr.1 of t.yaml)" in line
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "No part of logitmix study is called 'nothing'"),
        (["--engine"], "There is no flag --engine."),
        (["run"], "logitmix study run needs a study"),
        (["status"], "logitmix study status needs a study"),
        (["words"], "logitmix study words needs a study"),
        (["words", "x", "--shard", "3/2"], "--shard must be i/n"),
        (["run", "nowhere.yaml"], "There is no study file 'nowhere.yaml'"),
        (["status", "nowhere.yaml"], "There is no study file 'nowhere.yaml'"),
        (["run", "x", "--max_parallel", "0"], "--max_parallel must be"),
        (["run", "x", "--engin", "ray"], "There is no flag --engin. Did you mean '--engine'?"),
    ],
)
def test_mistakes_of_the_line(words, told, capsys):
    assert main(["study", *words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_status_words_and_only(answered, tmp_path, capsys):
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola, rte], method: [vanilla, mixup], seed: [1]}")
    (tmp_path / "t.yaml").write_text(text)
    assert main(["study", "status", "t.yaml"]) == 2
    assert "was not begun here" in capsys.readouterr().err
    assert main(["study", "words", "t.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("logitmix glue --dataset_name builtin ")
    both = []
    for shard in ("1/2", "2/2"):
        main(["study", "words", "t.yaml", "--shard", shard])
        both.append(capsys.readouterr().out.splitlines())
    assert sorted(line for part in both for line in part) == sorted(lines)
    study = read_study("t.yaml")
    for cell, status in zip(study.cells, ("done", "interrupted"), strict=False):
        cell.folder.mkdir(parents=True)
        (cell.folder / "run.json").write_text(json.dumps({"format": "logitmix_hf run 1", "status": status}))
    main(["study", "words", "t.yaml"])
    left = capsys.readouterr().out.splitlines()
    assert [line.endswith(" --resume") for line in left] == [True, False, False]
    assert main(["study", "status", "t.yaml"]) == 0
    assert capsys.readouterr().out.startswith("t: 1 of 4 runs are done (studies/t)\n  waiting: 3, 1 of them begun\n")
    assert main(["study", "run", "t.yaml", "--dry_run", "--only", "task=rte", "method=mixup"]) == 0
    assert capsys.readouterr().out.split()[1].startswith("rte-mixup-s1-")
    assert main(["study", "run", "t.yaml", "--dry_run", "--only", "task=mnli"]) == 2
    assert "Values: cola, rte." in capsys.readouterr().err


def test_what_the_runs_read_is_fetched_once_before_they_start(answered, monkeypatch, tmp_path, capsys):
    """Of two tasks, two methods and two seeds that is two data sets; a search is of flags that nothing has drawn yet."""
    from logitmix_hf.commands import study_check
    from logitmix_hf.studies import resolve
    from logitmix_hf.training.text.job import TextJob

    def here(words, env, check):
        assert "RANK" not in env
        return SimpleNamespace(returncode=study_check.prepare(words[-1]))

    def load(self):
        if self.data.task == "sst2":
            raise UserError("There is no sst2 today.")
        read.append((self.data.task, os.environ["HF_HUB_OFFLINE"]))

    read: list[tuple] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(resolve, "subprocess", SimpleNamespace(run=here))
    monkeypatch.setattr(TextJob, "load", load)
    monkeypatch.setattr(study_check, "prepared_lines", lambda job, loaded: [f"data {job.data.task}", "of a single run"])
    text = text_of("study: t\nfixed: {%s}\ngrid: {task: [cola, rte], method: [vanilla, mixup], seed: [1, 2]}\n")
    (tmp_path / "t.yaml").write_text(text)
    assert main(["study", "run", "t.yaml", "--prepare", "--dry_run"]) == 0
    assert read == [("cola", "0"), ("rte", "0")]
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert capsys.readouterr().err.splitlines() == ["data cola", "data rte"]
    (tmp_path / "s.yaml").write_text(text.replace("study: t", "study: s") + "search: {alpha: [1, 2]}\ntrials: 2\n")
    assert main(["study", "run", "s.yaml", "--prepare", "--dry_run"]) == 0
    assert [task for task, _ in read] == ["cola", "rte"] * 2
    (tmp_path / "t.yaml").write_text(text.replace("rte", "sst2"))
    assert main(["study", "run", "t.yaml", "--prepare"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: There is no sst2 today (run sst2-vanilla-s1-")


@pytest.mark.parametrize(
    ("command", "fixed", "told"),
    [
        ("glue", "train_file: own.csv, model: builtin", True),
        ("glue", "train_file: own.csv, validation_file: own.csv, model: builtin", False),
        ("glue", "task: cola, %s", False),
        ("vision", "dataset: cifar100, model: digits", True),
        ("vision", "dataset: cifar100, model: digits, validation_share: 0", False),
        ("vision", "dataset: digits, model: digits", False),
        ("vision", "dataset: pictures, model: digits", True),
        ("vision", "dataset: sorted, model: digits", False),
    ],
)
def test_seeds_that_draw_the_rows_they_are_judged_on_are_told_before_they_start(
    command, fixed, told, answered, tmp_path, capsys
):
    (tmp_path / "own.csv").write_text("text,label\na,x\nb,y\n")
    for folder in ("pictures", "sorted/train", "sorted/val"):
        for name in "xy":
            (tmp_path / folder / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / folder / name / "1.png")
    for seeds in ("[1, 2]", "[1]"):
        resolved(text_of(f"study: t\ncommand: {command}\nfixed: {{{fixed}}}\ngrid: {{seed: {seeds}}}"))
        said = capsys.readouterr().err
        assert ("each of 2 seeds is judged on other rows" in said) == (told and seeds == "[1, 2]")
