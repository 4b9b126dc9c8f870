"""What a run survives: signals, a full disk, a loss that is no number."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from tinyrun import flags
from transformers import AutoModelForSequenceClassification
from visionrun import Before, watch

from logitmix_hf.commands.glue import main
from logitmix_hf.lock import LOCK
from logitmix_hf.trainer import TrainingDiverged
from logitmix_hf.trainer.checkpoints import CheckpointError
from logitmix_hf.training.text.job import TextJob


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


def weights(folder: Path) -> list[torch.Tensor]:
    return list(AutoModelForSequenceClassification.from_pretrained(folder).parameters())


@pytest.fixture(scope="module")
def long_run(tiny_model, files):
    """Flags of a run of 60 steps that saves every second one and ends with an average of weights."""

    def of(output: Path, **changes) -> list[str]:
        return flags(
            tiny_model,
            files,
            output,
            **{
                "num_train_epochs": 10,
                "save_strategy": "steps",
                "save_steps": 2,
                "eval_strategy": "no",
                "ema": 0.9,
                **changes,
            },
        )

    return of


@pytest.fixture(scope="module")
def undisturbed(long_run, tmp_path_factory) -> list[torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(long_run(folder)) == 0
    return weights(folder)


def assert_resumes_to(expected: list[torch.Tensor], argv: list[str], folder: Path) -> None:
    assert main([*argv, "--resume"]) == 0
    for one, other in zip(weights(folder), expected, strict=True):
        assert torch.equal(one, other)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_with_its_code(long_run, undisturbed, tmp_path, monkeypatch, capfd, number, code):
    folder = tmp_path / "out"
    argv = long_run(folder, save_steps=1000)  # nothing is due before the signal
    with monkeypatch.context() as patch:
        watch(patch, Before(3, lambda: os.kill(os.getpid(), number)))
        assert main(argv) == code
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert len(checkpoints(folder)) == 1
    assert "--resume" in err
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert_resumes_to(undisturbed, argv, folder)


def test_a_signal_before_training_ends_at_once(long_run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(TextJob, "before_training", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(long_run(tmp_path / "out")) == 143
    assert "interrupted by signal 15: nothing was trained yet" in capfd.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"
    assert not list((tmp_path / "out").glob(f"{LOCK}*"))


def test_a_full_disk_keeps_the_last_good_checkpoint_and_says_so(long_run, tmp_path, monkeypatch):
    """Files may not grow past a size from the third save on: what a full disk does, without filling one."""
    folder = tmp_path / "out"
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = "checkpoint-6 could not be saved.*checkpoint-4.*--resume"
    try:
        with monkeypatch.context() as patch:
            watch(patch, Before(5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, most[1]))))
            with pytest.raises(CheckpointError, match=told):
                main(long_run(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert checkpoints(folder) == [4]
    assert not (folder / ".saving").exists()
    assert main([*long_run(folder), "--resume"]) == 0


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_term(long_run, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(TrainingDiverged, match=r"L_\w+ .*at step \d"):  # no mistake: the interpreter exits with 1
        main(long_run(folder, learning_rate="1e30", max_grad_norm=0, w_sim=1))
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert not (folder / "model.safetensors").exists()
