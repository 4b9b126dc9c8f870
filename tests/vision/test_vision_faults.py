"""What a run on images survives, and what its trainer does: resume, signals, memory, two processes, averages, steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments
from visionrun import assert_same_weights, flags, pictures, read, tiny_vit, weights, without_pictures

from logitmix_hf import MixArguments
from logitmix_hf.reporting.mixtures import Mixtures
from logitmix_hf.vision import build_network
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.networks.model import ConvNetForImageClassification
from logitmix_hf.vision.preview import draw_preview
from logitmix_hf.vision.run import ImageTrainer, VisionJob, main, parse
from logitmix_hf.vision.training import WeightAverage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_pictures(monkeypatch):
    without_pictures(monkeypatch)


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


def watch(monkeypatch, callback: TrainerCallback) -> None:
    own = VisionJob.callbacks
    monkeypatch.setattr(VisionJob, "callbacks", lambda self: [*own(self), callback])


# --- resume and signals ----------------------------------------------------------------------------------------------

LONG = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3, "eval_strategy": "no", "ema": 0.9}
LONG |= {"mixer": "mixup,cutmix", "save_total_limit": 5}  # 8 steps


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        assert main(flags(folder, **LONG)) == 0
    return folder


class Signal(TrainerCallback):
    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_weights(
    undisturbed, tmp_path, monkeypatch, capfd, no_pictures, number, code
):
    """Bit for bit, weights that are an average too; also from the middle of an epoch."""
    folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        watch(patch, Signal(number, 4))
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


def test_resume_from_an_earlier_checkpoint_without_an_average(tmp_path, no_pictures):
    changes = {**LONG, "ema": 0, "method": "vanilla"}
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
def test_no_memory_in_training(tmp_path, monkeypatch, capfd, no_pictures, problem, asked):
    run_out_of_memory(monkeypatch, problem, training=True)
    assert main(flags(tmp_path / "out", gradient_accumulation_steps=3)) == 2
    line = told(capfd)
    assert f"Out of memory on cpu (asked for {asked}) with --per_device_train_batch_size 16: take 8" in line
    assert "--gradient_accumulation_steps 6 to keep the total" in line
    assert "--overwrite" in line
    assert read(tmp_path / "out" / "run.json")["status"] == "failed"


def test_no_memory_in_evaluation_after_an_epoch_and_how_to_go_on(tmp_path, monkeypatch, capfd, no_pictures):
    folder = tmp_path / "out"
    argv = flags(folder, max_steps=2, save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=2)
    with monkeypatch.context() as patch:
        run_out_of_memory(patch, FULL[0], training=False)
        assert main(argv) == 2
    assert "with --per_device_eval_batch_size 256: take 128, and go on with --resume." in told(capfd)
    assert read(folder / "run.json")["status"] == "failed"
    assert main([*argv, "--resume", "--per_device_eval_batch_size", "128"]) == 0
    assert read(folder / "run.json")["status"] == "done"


def test_no_memory_for_a_single_image(tmp_path, monkeypatch, capfd, no_pictures):
    run_out_of_memory(monkeypatch, FULL[0], training=True)
    assert main(flags(tmp_path / "out", per_device_train_batch_size=1, max_train_samples=4)) == 2
    line = told(capfd)
    assert "smaller model" in line
    assert "--image_size" in line


def test_another_failure_keeps_its_traceback(tmp_path, monkeypatch, no_pictures):
    run_out_of_memory(monkeypatch, RuntimeError("something else"), training=True)
    with pytest.raises(RuntimeError, match="something else"):
        main(flags(tmp_path / "out"))
    assert read(tmp_path / "out" / "run.json")["status"] == "failed"


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_broken_image_found_by_a_worker_ends_in_one_line(tmp_path, capfd, no_pictures):
    photos = pictures(tmp_path / "pets", size=8, count=6)
    (photos / "cat" / "02.png").write_bytes((photos / "cat" / "02.png").read_bytes()[:60])
    changes = {"dataset": photos, "memory_limit": 0.000000001, "dataloader_num_workers": 1, "eval_strategy": "no"}
    assert main(flags(tmp_path / "out", **changes)) == 2
    line = told(capfd)
    assert "cat/02.png" in line
    assert "--skip_corrupt" in line


def test_two_processes_write_one_run_and_speak_once(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    argv = flags(tmp_path / "out", max_eval_samples=21, mixer="cutmix")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(ROOT / "run_vision.py"), *argv], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("method ") == 1
    record, results = read(tmp_path / "out" / "run.json"), read(tmp_path / "out" / "eval_results.json")
    assert record["environment"]["processes"] == 2
    assert record["command"].startswith("python")
    assert results["eval_samples"] == 21
    assert read(tmp_path / "out" / "trainer_state.json")["global_step"] == 2  # 64 rows, 16 on each of two
    assert (tmp_path / "out" / "mix_preview.png").is_file()


# --- the trainer -----------------------------------------------------------------------------------------------------


class Steps(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, model, **kwargs):
        self.seen.append({name: value.detach().clone() for name, value in model.state_dict().items()})


def test_what_is_saved_is_the_average_of_the_weights(tmp_path, monkeypatch, no_pictures):
    steps = Steps()
    watch(monkeypatch, steps)
    assert main(flags(tmp_path / "out", ema=0.5, num_train_epochs=2)) == 0
    assert len(steps.seen) == 8
    expected = {name: value.double() for name, value in steps.seen[0].items()}
    for count, state in enumerate(steps.seen[1:], start=1):
        decay = min(0.5, (1 + count) / (10 + count))
        expected = {name: decay * old + (1 - decay) * state[name].double() for name, old in expected.items()}
    saved = weights(tmp_path / "out")
    moved = 0
    for name, value in saved.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], atol=1e-5, rtol=1e-5)
            moved += not torch.allclose(value, steps.seen[-1][name])
    assert moved > 10  # the last weights are others


def test_an_average_by_hand():
    layer, average = nn.Linear(1, 1, bias=False), WeightAverage(0.15)
    average.on_train_begin(TrainingArguments("unused", use_cpu=True), _State(), None, model=layer)
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.on_step_end(None, None, None, model=layer)
    average.put_into(layer)
    # The first is taken as it is; then min(.15, 2/11) = .15 and min(.15, 3/12) = .15 of the old.
    assert layer.weight.item() == pytest.approx(0.15 * (0.15 * 1 + 0.85 * 2) + 0.85 * 3)


class _State:
    global_step = 0


def test_the_learning_rate_drops_at_its_milestones(tmp_path, no_pictures):
    changes = {"method": "vanilla", "lr_milestones": [0.5, 0.75], "lr_gamma": 0.1, "num_train_epochs": 2}
    assert main(flags(tmp_path / "out", **changes)) == 0
    log = read(tmp_path / "out" / "trainer_state.json")["log_history"]
    rates = [line["learning_rate"] for line in log if "learning_rate" in line]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)


@pytest.mark.parametrize("everything", [True, False])
def test_which_parameters_decay(tmp_path, everything):
    for model in (build_network("digits", 3, 8, 1), _vit(tmp_path)):
        arguments = TrainingArguments(str(tmp_path), use_cpu=True, weight_decay=0.1, report_to="none")
        trainer = ImageTrainer(
            model=model, args=arguments, mix=MixArguments(method="vanilla"), decay_norm_and_bias=everything
        )
        trainer.create_optimizer()
        assert trainer.optimizer is not None
        groups = trainer.optimizer.param_groups
        decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
        found = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
        matrices = {name for name, parameter in model.named_parameters() if parameter.squeeze().ndim > 1}
        matrices -= {name for name in matrices if "position" in name}
        assert found == ({name for name, _ in model.named_parameters()} if everything else matrices)


def _vit(folder: Path):
    from transformers import ViTForImageClassification

    return ViTForImageClassification.from_pretrained(tiny_vit(folder / "vit"))


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_how_the_network_lies_in_memory(tmp_path, layout):
    job = parse(flags(tmp_path / "out", memory_format=layout))
    job.check()
    job.check_model(None)
    model = job.load().model
    kernels = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) == (layout == "channels_last") for p in kernels)


# --- the preview -----------------------------------------------------------------------------------------------------


def preview(monkeypatch, folder: Path, **changes) -> list[Mixtures]:
    kept: list[Mixtures] = []
    with monkeypatch.context() as patch:
        patch.setattr("logitmix_hf.vision.preview.mixtures_plot", lambda blocks, path: kept.extend(blocks))
        job = parse(flags(folder, eval_strategy="no", **changes))
        job.check()
        job.check_model(None)
        loaded = job.load()
        trainer = ImageTrainer(
            model=loaded.model, args=job.training, mix=job.mix, train_dataset=loaded.splits["train"],
            data_collator=loaded.collator, processing_class=loaded.processor, **job.trainer_options(),
        )  # fmt: skip
        draw_preview(trainer, loaded, folder / "mix_preview.png")
    return kept


def test_every_mixer_is_shown_on_the_same_images(tmp_path, monkeypatch):
    photos = pictures(tmp_path / "pets", size=16, count=8)
    base = {"dataset": photos, "cache_dir": tmp_path / "cache", "model": "resnet18"}
    (first,) = preview(monkeypatch, tmp_path / "one", **base, mixer="mixup")
    blocks = preview(monkeypatch, tmp_path / "all", **base, mixer=",".join(MIXERS))
    assert len(blocks) == len(MIXERS)
    for name, block in zip(MIXERS, blocks, strict=True):
        assert name in block.title
        np.testing.assert_array_equal(block.originals, first.originals)
        np.testing.assert_array_equal(block.partners, np.roll(first.originals, -1, 0))
        if block.masks is not None and name not in ("resizemix", "hconcat", "vconcat", "mixedconcat", "puzzlemix"):
            share = block.masks[..., None]
            hand = share * block.originals + (1 - share) * block.partners
            if not name.startswith("patchup"):
                np.testing.assert_allclose(block.mixed, hand, atol=1e-5)
                np.testing.assert_allclose(block.shares, block.masks.mean((1, 2)), atol=1e-5)
    assert any(block.masks is not None for block in blocks)


def test_a_site_inside_the_network_is_named_in_the_preview(tmp_path, monkeypatch):
    (block,) = preview(monkeypatch, tmp_path, method="manifold_mixup")
    assert "mixed at stages" in block.title
    assert "shown on the pixels" in block.title
    share = block.shares[:, None, None, None]
    np.testing.assert_allclose(block.mixed, share * block.originals + (1 - share) * block.partners, atol=1e-5)
