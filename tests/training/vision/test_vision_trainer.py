"""What the trainer of images does beside the loss (averages, steps of the learning rate, decay), and the preview."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments
from visionrun import assert_same_weights, flags, pictures, read, tiny_vit, watch, weights

from logitmix_hf import MixArguments
from logitmix_hf.commands.vision import main, parse
from logitmix_hf.process import own_cores
from logitmix_hf.reporting.mixtures import Mixtures
from logitmix_hf.training.vision.model import with_shared_statistics
from logitmix_hf.training.vision.preview import draw_preview
from logitmix_hf.training.vision.trainer import ImageTrainer
from logitmix_hf.vision import build_network
from logitmix_hf.vision.mixers import MIXERS


class Steps(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append({name: value.detach().clone() for name, value in kwargs["model"].state_dict().items()})


def test_what_is_saved_is_the_average_of_the_weights(tmp_path, monkeypatch):
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


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"method": "manifold_mixup"}, "manifold_mixup"),
        ({"method": "mixup"}, "mixup"),
        ({"method": "logitmix", "mixer": "cutmix"}, "logitmix cutmix"),
        ({"method": "logitmix", "site": "stage.1"}, "logitmix mixup stage.1"),
        ({"method": "manifold_mixup", "site": "input"}, "manifold_mixup input"),
        ({"method": "vanilla"}, "vanilla"),
    ],
)
def test_a_run_is_called_by_what_is_not_usual(tmp_path, given, label):
    assert parse(flags(tmp_path, **given)).label == label


def test_processes_share_the_cores_of_a_machine(monkeypatch):
    """Whatever number of threads a launcher set: streaming workers are counted by it."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(9)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    counts = []
    for processes in ("1", "2", "20"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        counts.append(own_cores())
    assert counts == [9, 4, 1]


def test_the_learning_rate_drops_at_its_milestones(tmp_path):
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
        groups = trainer.optimizer.param_groups  # type: ignore[union-attr]
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
        patch.setattr("logitmix_hf.training.vision.preview.mixtures_plot", lambda blocks, path: kept.extend(blocks))
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
        assert ("saliency of the network before training" in block.title) == (name in ("saliencymix", "puzzlemix"))
    assert any(block.masks is not None for block in blocks)


def test_the_preview_leaves_no_trace_in_training(tmp_path, monkeypatch):
    changes = {"mixer": "saliencymix", "max_steps": 2, "eval_strategy": "no"}
    ends = []
    for name, drawn in (("with", True), ("without", False)):
        with monkeypatch.context() as patch:
            shown = []
            if drawn:
                patch.setattr("logitmix_hf.training.vision.job.draw_preview", draw_preview)
                patch.setattr(
                    "logitmix_hf.training.vision.preview.mixtures_plot",
                    lambda blocks, path, shown=shown: shown.append(path),
                )
            assert main(flags(tmp_path / name, **changes)) == 0
            assert len(shown) == drawn
        ends.append(weights(tmp_path / name))
    assert_same_weights(*ends)


def test_a_site_inside_the_network_is_named_in_the_preview(tmp_path, monkeypatch):
    (block,) = preview(monkeypatch, tmp_path, method="manifold_mixup")
    assert "mixed at stages" in block.title
    assert "shown on the pixels" in block.title
    share = block.shares[:, None, None, None]
    np.testing.assert_allclose(block.mixed, share * block.originals + (1 - share) * block.partners, atol=1e-5)


@pytest.mark.parametrize(("asked", "processes", "shared"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_batchnorm_is_shared_between_processes_where_asked(asked, processes, shared):
    network = build_network("digits", num_labels=10, image_size=8)
    names = set(network.state_dict())
    found = with_shared_statistics(network, SimpleNamespace(sync_bn=asked, world_size=processes))
    norms = [module for module in found.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, torch.nn.SyncBatchNorm) == shared for norm in norms)
    assert set(found.state_dict()) == names  # what is saved loads anywhere
