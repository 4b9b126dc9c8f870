"""What a run on images survives: a signal, no memory, a broken image, two processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from processes import TWO, start
from visionrun import Before, assert_same_weights, flags, pictures, read, watch, weights

from logitmix_hf.commands.vision import main, parse
from logitmix_hf.trainer import TrainingDiverged
from logitmix_hf.training.run import fine_tune
from logitmix_hf.vision.networks.model import ConvNetForImageClassification


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


# --- a run that diverges ----------------------------------------------------------------------------------------------


def test_a_run_that_diverges_says_so_with_a_mixer_that_looks_at_gradients(tmp_path):
    """Saliency is not finite then either: the loss is to be named, not the mixer."""
    with pytest.raises(TrainingDiverged, match=r"L_mix.* stopped being finite at step"):
        fine_tune(parse(flags(tmp_path / "out", mixer="puzzlemix", method="mixup", learning_rate="1e12")))


# --- batches that BatchNorm cannot train on ------------------------------------------------------------------------------

ODD = {
    "model": "resnet18",
    "max_train_samples": 17,
    "eval_strategy": "no",
    "save_strategy": "no",
    "max_eval_samples": 8,
}


def test_a_last_batch_of_one_image_is_left_out_with_a_word(tmp_path, capfd):
    """ResNet-18 makes one pixel of an image of 8 x 8."""
    assert main(flags(tmp_path / "out", **ODD)) == 0
    assert "one image an epoch is left out" in capfd.readouterr().err
    assert read(tmp_path / "out" / "trainer_state.json")["global_step"] == 1


def test_batches_of_one_image_are_refused_before_training(tmp_path, capfd):
    assert main(flags(tmp_path / "out", **{**ODD, "per_device_train_batch_size": 1})) == 2
    assert "BatchNorm" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_last_batch_of_one_larger_image_is_trained_on(tmp_path):
    assert main(flags(tmp_path / "out", **{**ODD, "model": "digits"})) == 0
    assert read(tmp_path / "out" / "trainer_state.json")["global_step"] == 2


def test_a_preview_that_fails_does_not_end_the_run(tmp_path, capfd, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError("no font")

    monkeypatch.setattr("logitmix_hf.training.vision.job.draw_preview", broken)
    assert main(flags(tmp_path / "out", max_steps=1, eval_strategy="no")) == 0
    assert "mix_preview.png was not drawn (OSError: no font)" in capfd.readouterr().err


# --- resume and signals ----------------------------------------------------------------------------------------------

LONG = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3, "eval_strategy": "no", "ema": 0.9}
LONG |= {"mixer": "mixup,cutmix", "save_total_limit": 5}  # 8 steps


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(flags(folder, **LONG)) == 0
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_weights(
    undisturbed, tmp_path, monkeypatch, capfd, number, code
):
    """Bit for bit, weights that are an average too; also from the middle of an epoch."""
    folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        watch(patch, Before(4, lambda: os.kill(os.getpid(), number)))
        assert main(flags(folder, **LONG)) == code
    err = capfd.readouterr().err
    assert "--resume" in err
    assert "Traceback" not in err
    assert checkpoints(folder) == [3, 5]
    assert read(folder / "run.json")["status"] == "interrupted"
    assert not (folder / "model.safetensors").exists()
    assert main([*flags(folder, **LONG), "--resume"]) == 0
    assert_same_weights(weights(folder), weights(undisturbed))
    assert read(folder / "run.json")["status"] == "done"
    one, other = (read(d / "eval_results.json") for d in (folder, undisturbed))
    assert one["eval_nll"] == other["eval_nll"]


def test_resume_from_an_earlier_checkpoint_without_an_average(tmp_path):
    changes = {**LONG, "ema": 0, "method": "vanilla", "keep_checkpoints": "true"}
    folder = tmp_path / "out"
    assert main(flags(folder, **changes)) == 0
    whole = weights(folder)
    for step in checkpoints(folder)[1:]:
        (folder / f"checkpoint-{step}").rename(tmp_path / f"gone-{step}")
    assert main([*flags(folder, **changes), "--resume"]) == 0
    assert_same_weights(weights(folder), whole)


# --- memory ----------------------------------------------------------------------------------------------------------

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
                 " allocate 51380224 bytes. Error code 12 (Cannot allocate memory)"),
    MemoryError("Unable to allocate 3.00 GiB for an array"),
]  # fmt: skip


def run_out_of_memory(monkeypatch, problem: Exception, training: bool) -> None:
    forward = ConvNetForImageClassification.forward

    def full(self, *args, **kwargs):
        if self.training == training and torch.is_grad_enabled() == training:
            raise problem
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ConvNetForImageClassification, "forward", full)


def told(capfd) -> str:
    err = capfd.readouterr().err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(("problem", "asked"), zip(FULL, ("2.50 GiB", "51380224 bytes", "3.00 GiB"), strict=True))
def test_no_memory_in_training(tmp_path, monkeypatch, capfd, problem, asked):
    run_out_of_memory(monkeypatch, problem, training=True)
    assert main(flags(tmp_path / "out", gradient_accumulation_steps=3)) == 2
    line = told(capfd)
    assert f"Out of memory on cpu (asked for {asked}) with --per_device_train_batch_size 16: take 8" in line
    assert "--gradient_accumulation_steps 6 to keep the total" in line
    assert "--overwrite" in line
    assert read(tmp_path / "out" / "run.json")["status"] == "failed"


def test_no_memory_in_evaluation_after_an_epoch_and_how_to_go_on(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "out"
    argv = flags(folder, max_steps=2, save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=2)
    with monkeypatch.context() as patch:
        run_out_of_memory(patch, FULL[0], training=False)
        assert main(argv) == 2
    assert "with --per_device_eval_batch_size 256: take 128, and go on with --resume." in told(capfd)
    assert read(folder / "run.json")["status"] == "failed"
    assert main([*argv, "--resume", "--per_device_eval_batch_size", "128"]) == 0
    assert read(folder / "run.json")["status"] == "done"


def test_no_memory_for_a_single_image(tmp_path, monkeypatch, capfd):
    run_out_of_memory(monkeypatch, FULL[0], training=True)
    assert main(flags(tmp_path / "out", per_device_train_batch_size=1, max_train_samples=4)) == 2
    line = told(capfd)
    assert "smaller model" in line
    assert "--image_size" in line


def test_another_failure_keeps_its_traceback(tmp_path, monkeypatch):
    run_out_of_memory(monkeypatch, RuntimeError("something else"), training=True)
    with pytest.raises(RuntimeError, match="something else"):
        main(flags(tmp_path / "out"))
    assert read(tmp_path / "out" / "run.json")["status"] == "failed"


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_broken_image_found_by_a_worker_ends_in_one_line(tmp_path, capfd):
    photos = pictures(tmp_path / "pets", size=8, count=6)
    (photos / "cat" / "02.png").write_bytes((photos / "cat" / "02.png").read_bytes()[:60])
    changes = {"dataset": photos, "memory_limit": 0.000000001, "dataloader_num_workers": 1, "eval_strategy": "no"}
    assert main(flags(tmp_path / "out", **changes)) == 2
    line = told(capfd)
    assert "cat/02.png" in line
    assert "--skip_corrupt" in line


def test_two_processes_write_one_run_and_speak_once(tmp_path):
    argv = flags(
        tmp_path / "out", max_eval_samples=21, mixer="cutmix", use_cpu=None
    )  # which is meant where there is no GPU
    process = start(argv, *TWO, script="run_vision.py")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    assert out.count("method ") == 1
    if not torch.accelerator.is_available():
        assert err.count("2 processes and no GPU") == 1
    record, results = read(tmp_path / "out" / "run.json"), read(tmp_path / "out" / "eval_results.json")
    assert record["environment"]["processes"] == 2
    assert record["command"].startswith("python")
    assert results["eval_samples"] == 21
    assert read(tmp_path / "out" / "trainer_state.json")["global_step"] == 2  # 64 rows, 16 on each of two
    assert (tmp_path / "out" / "mix_preview.png").is_file()
