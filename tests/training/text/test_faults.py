"""What a run survives: a kill at any moment, signals, a full disk, a loss that is no number, two processes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from processes import ROOT, TWO, start, wait_for
from tinyrun import flags
from transformers import AutoModelForSequenceClassification

from logitmix_hf.commands.glue import main
from logitmix_hf.trainer import TrainingDiverged


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


@pytest.mark.parametrize("moment", [0.0, 0.13])
def test_sigkill_loses_at_most_the_steps_since_the_last_checkpoint(long_run, undisturbed, tmp_path, moment):
    folder = tmp_path / "out"
    argv = long_run(folder)
    process = start(argv)
    wait_for(lambda: len(checkpoints(folder)) and checkpoints(folder)[-1] >= 6, process)
    time.sleep(moment)
    process.kill()
    process.communicate()
    for path in folder.glob("checkpoint-*"):  # complete or absent
        state = json.loads((path / "trainer_state.json").read_text())
        assert state["global_step"] == int(path.name.rpartition("-")[2])
        torch.load(path / "optimizer.pt", weights_only=True)
        assert weights(path)
    assert_resumes_to(undisturbed, argv, folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_with_its_code(long_run, undisturbed, tmp_path, number, code):
    folder = tmp_path / "out"
    argv = long_run(folder, save_steps=1000)  # nothing is due before the signal
    process = start(argv)
    assert process.stdout is not None
    assert any("'loss'" in line for line in process.stdout), process.communicate()[1][-2000:]
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err[-2000:]
    assert "Traceback" not in err
    assert len(checkpoints(folder)) == 1
    assert "--resume" in err
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert_resumes_to(undisturbed, argv, folder)


def test_a_signal_before_training_ends_at_once(long_run, tmp_path):
    process = start(long_run(tmp_path / "out"))
    wait_for(lambda: (tmp_path / "out" / "run.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err[-2000:]
    assert "interrupted by signal 15" in err
    assert "Traceback" not in err


def test_a_full_disk_keeps_the_last_good_checkpoint_and_says_so(long_run, tmp_path):
    """Files may not grow past a size from the third save on: what a full disk does, without filling one."""
    folder = tmp_path / "out"
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from transformers import TrainerCallback
import logitmix_hf.trainer.checkpoints as checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
original = checkpoints.SaveOnSignal.on_step_end
def full(self, args, state, control, **kwargs):
    if state.global_step == 6:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    return original(self, args, state, control, **kwargs)
checkpoints.SaveOnSignal.on_step_end = full
from logitmix_hf.commands.glue import main
from logitmix_hf.trainer import TrainingDiverged
sys.exit(main(sys.argv[1:]))
"""
    process = start(long_run(folder), code=code)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert checkpoints(folder) == [4]
    assert not (folder / ".saving").exists()
    last = err.strip().splitlines()[-1]
    assert "checkpoint-6 could not be saved" in last
    assert "checkpoint-4" in last
    assert "--resume" in last
    assert main([*long_run(folder), "--resume"]) == 0


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_term(long_run, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(TrainingDiverged, match=r"L_\w+ .*at step \d"):  # no mistake: the interpreter exits with 1
        main(long_run(folder, learning_rate="1e30", max_grad_norm=0, w_sim=1))
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert not (folder / "model.safetensors").exists()


def test_two_processes_write_one_run_and_speak_once(tiny_model, files, tmp_path):
    argv = flags(tiny_model, files, tmp_path / "out", use_cpu=None)  # which is meant where there is no GPU
    process = start(argv, *TWO)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    assert out.count("method ") == 1
    assert json.loads((tmp_path / "out" / "eval_results.json").read_text())["eval_samples"] == 24
    assert json.loads((tmp_path / "out" / "run.json").read_text())["environment"]["processes"] == 2
    if not torch.accelerator.is_available():
        assert err.count("2 processes and no GPU") == 1
    wrong = start([*argv, "--alpha", "-1"], *TWO)
    _, err = wrong.communicate(timeout=300)
    assert err.count("error: alpha") == 1
