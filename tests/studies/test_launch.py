"""Runs of several processes: what accelerate makes of the files that we ship, slots, and one run by two processes."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.studies import resolve
from logitmix_hf.studies.engines.local import device_slots
from logitmix_hf.studies.file import Resources, parse_file

TEXT = "study: t\ngrid: {seed: [1]}\n"


def launched(config):
    """What accelerate takes of the words that a study starts a run with."""
    program = parse_file(f"{TEXT}launch: {{processes: 2, config: {config}}}", "t.yaml").launch.program
    return _validate_launch_command(launch_command_parser().parse_args([*program[3:], "glue"]))[0]


def test_accelerate_reads_the_files_that_are_shipped():
    ddp, fsdp = launched("ddp.yaml"), launched("fsdp2.yaml")
    assert (ddp.multi_gpu, ddp.use_fsdp, ddp.use_deepspeed, ddp.num_processes) == (True, False, False, 2)
    assert (fsdp.use_fsdp, fsdp.fsdp_version, fsdp.num_processes) == (True, 2, 2)
    assert fsdp.fsdp_state_dict_type == "FULL_STATE_DICT"
    assert (ddp.training_script, ddp.training_script_args, ddp.module) == ("logitmix_hf.cli", ["glue"], True)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_reads_zero2():
    zero = launched("zero2.yaml")
    assert (zero.use_deepspeed, zero.zero_stage, zero.num_processes) == (True, 2, 2)


def test_zero2_is_a_file_of_accelerate():
    from accelerate.commands.config.config_args import load_config_from_file

    from logitmix_hf.studies.launch import configs_folder

    found = load_config_from_file(str(configs_folder() / "zero2.yaml"))
    assert (str(found.distributed_type.value), found.deepspeed_config["zero_stage"]) == ("DEEPSPEED", 2)


def test_slots_are_of_all_processes():
    assert device_slots(Resources(processes=2, cpus=2), [], 8) == ["", ""]
    assert device_slots(Resources(processes=2), ["0", "1", "2", "3", "4"], 8) == ["0,1", "2,3"]
    assert device_slots(Resources(gpus=2, processes=2), ["0", "1", "2"], 8) == []
    with pytest.raises(UserError, match="a share of a device, which several processes cannot have"):
        Resources(gpus=0.5, processes=2)


@pytest.mark.parametrize(
    ("launch", "told"),
    [
        ("{proceses: 2}", "Did you mean 'processes'?"),
        ("{config: ddp.yaml}", "launch: processes must be a whole number, 1 or more, got None"),
        ("{processes: 0}", "1 or more, got 0"),
        ("{processes: 2, config: fsdp.yaml}", "Did you mean 'fsdp2.yaml'?"),
        ("{processes: 2, config: own.yaml}", "names no distributed_type"),
        ("2", "launch: needs `key: value`"),
    ],
)
def test_mistakes_are_one_line(launch, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("processes: 2\n")
    with pytest.raises(UserError) as caught:
        parse_file(f"{TEXT}launch: {launch}", "bad.yaml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_two_processes_train_one_run(tmp_path, monkeypatch, tiny_model, files, capsys):
    from logitmix_hf.commands.study_check import read

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resolve, "_answers", lambda file, runs, *_: [read(file.command, run.words) for run in runs])
    fixed = f"model: {tiny_model}, train_file: {files}/train.csv, validation_file: {files}/validation.csv"
    text = f"""
study: t
fixed: {{{fixed}, label_column: stars, max_length: 16, max_steps: 1, bootstrap: 0, task: null}}
grid: {{seed: [1]}}
resources: {{gpus: 0}}
"""
    Path("t.yaml").write_text(text)
    assert main(["study", "words", "t.yaml"]) == 0
    alone = capsys.readouterr().out
    Path("t.yaml").write_text(f"{text}launch: {{processes: 2}}\n")
    assert main(["study", "words", "t.yaml"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:2] == ["accelerate", "launch"]
    assert words[-1] != shlex.split(alone)[-1], "another run: its batches are larger"
    assert main(["study", "run", "t.yaml"]) == 0
    record = json.loads((Path(words[-1]) / "run.json").read_text())
    assert (record["status"], record["environment"]["processes"]) == ("done", 2)
