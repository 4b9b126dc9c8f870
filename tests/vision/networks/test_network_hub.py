"""Our networks as models of the Hub: saved, loaded by the Auto classes, used by `pipeline`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

from logitmix_hf.vision.networks import ConvNetForImageClassification, build_network, image_processor

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)


def saved(folder: Path, name: str, channels: int, size: int) -> ConvNetForImageClassification:
    torch.manual_seed(0)
    labels = {0: "ant", 1: "bee", 2: "cat"}
    model = build_network(name, 3, size, channels=channels, id2label=labels)
    with torch.no_grad():
        for buffer in model.buffers():  # as after training, so that buffers matter
            buffer.add_(1) if not buffer.is_floating_point() else buffer.add_(torch.rand_like(buffer))
    model.eval().save_pretrained(folder)
    image_processor(size, MEAN[:channels], STD[:channels], channels).save_pretrained(folder)
    return model


def tensors(pixels: np.ndarray, channels: int) -> Tensor:
    """(H, W, C) uint8 to normalised (1, C, H, W), by hand."""
    images = torch.tensor(pixels).reshape(*pixels.shape[:2], channels).permute(2, 0, 1)[None] / 255
    return (images - torch.tensor(MEAN[:channels])[:, None, None]) / torch.tensor(STD[:channels])[:, None, None]


def pixels_of(channels: int, height: int, width: int) -> np.ndarray:
    shape = (height, width, 3) if channels == 3 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "wideresnet-10-1", "digits"])
def test_a_saved_folder_is_loaded_by_the_auto_classes(name: str, tmp_path: Path) -> None:
    model = saved(tmp_path, name, 3, 32)
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(loaded) is ConvNetForImageClassification
    assert loaded.config.architecture == name
    assert loaded.config.id2label == {0: "ant", 1: "bee", 2: "cat"}
    assert AutoConfig.from_pretrained(tmp_path).stem == "cifar"
    own, other = model.state_dict(), loaded.state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[key], other[key]) for key in own)


@pytest.mark.parametrize("channels", [3, 1])
def test_pipeline_gives_our_own_logits(channels: int, tmp_path: Path) -> None:
    model = saved(tmp_path, "digits", channels, 16)
    pixels = pixels_of(channels, 16, 16)
    classify = pipeline("image-classification", model=str(tmp_path), device="cpu")
    given = classify(Image.fromarray(pixels), function_to_apply="none")
    with torch.no_grad():
        expected = model(tensors(pixels, channels)).logits[0].tolist()
    assert {row["label"]: row["score"] for row in given} == pytest.approx(
        dict(zip(["ant", "bee", "cat"], expected, strict=True)), abs=1e-5
    )
    assert sum(row["score"] for row in classify(Image.fromarray(pixels))) == pytest.approx(1)


def test_a_grey_network_makes_grey_of_colour_as_pillow_does(tmp_path: Path) -> None:
    model = saved(tmp_path, "digits", 1, 16)
    image = Image.fromarray(pixels_of(3, 16, 16))
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    with torch.no_grad():
        colour = model(**processor(images=image, return_tensors="pt")).logits
        grey = model(tensors(np.asarray(image.convert("L")), 1)).logits
    torch.testing.assert_close(colour, grey, atol=0.02, rtol=0)  # Pillow rounds to whole grey values


@pytest.mark.parametrize("colour", [(200, 0, 0), (0, 200, 0), (0, 0, 200), (30, 90, 150)])
def test_each_colour_is_as_bright_as_pillow_says(colour: tuple[int, int, int]) -> None:
    """Nearly equal noise in all channels would not tell red from blue: here one channel is lit at a time."""
    model = build_network("digits", 3, 16, channels=1).eval()
    image = Image.new("RGB", (16, 16), colour)
    with torch.no_grad():
        seen = model(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255).logits
        level = sum(weight * value for weight, value in zip((299, 587, 114), colour, strict=True)) / 1000  # ITU-R 601
        assert abs(level - image.convert("L").getpixel((0, 0))) <= 0.51
        wanted = model(torch.full((1, 1, 16, 16), level / 255)).logits
    torch.testing.assert_close(seen, wanted, atol=1e-5, rtol=1e-4)


def test_the_processor_resizes_the_short_side_and_cuts_the_centre() -> None:
    processor = image_processor(8, MEAN, STD, resize=16)
    pixels = pixels_of(3, 16, 24)
    out = processor(images=Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(out, tensors(pixels[4:12, 8:16], 3), atol=1e-5, rtol=0)
    assert processor(images=Image.new("RGB", (20, 40)), return_tensors="pt")["pixel_values"].shape == (1, 3, 8, 8)


def test_a_missing_head_is_initialised_and_nothing_else(tmp_path: Path) -> None:
    model = saved(tmp_path, "digits", 3, 16)
    loaded = ConvNetForImageClassification.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert loaded.classifier.weight.shape == (5, 64)
    assert 0 < loaded.classifier.weight.abs().max() <= 64**-0.5
    own, other = model.state_dict(), loaded.state_dict()
    assert all(torch.equal(own[key], other[key]) for key in own if not key.startswith("classifier"))


def test_trainer_divides_by_gradient_accumulation(tmp_path: Path) -> None:
    """The model takes any keyword and ignores num_items_in_batch: Trainer must know, or the loss counts twice."""
    model = build_network("digits", 3, 8)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, gradient_accumulation_steps=2
    )
    assert Trainer(model=model, args=arguments).model_accepts_loss_kwargs is False


def test_importing_the_networks_makes_them_known(tmp_path: Path) -> None:
    """In a fresh process, as the card of a model has it. Without the import transformers does not know the type, and
    nothing of ours waits among the finders of modules."""
    saved(tmp_path, "digits", 1, 8)
    code = f"""
        import sys
        finders = list(sys.meta_path)
        import logitmix_hf
        from logitmix_hf.vision import MIXERS, NETWORKS
        assert "digits" in NETWORKS and "cutmix" in MIXERS
        assert not {{"torch", "transformers", "numpy"}} & set(sys.modules), "imported too early"
        assert sys.meta_path == finders
        from transformers import AutoConfig, AutoModelForImageClassification
        try:
            AutoConfig.from_pretrained({str(tmp_path)!r})
        except ValueError as problem:
            assert "logitmix_convnet" in str(problem), problem
        else:
            raise AssertionError("known before it was imported")
        import logitmix_hf.vision.networks
        assert AutoConfig.from_pretrained({str(tmp_path)!r}).architecture == "digits"
        assert AutoModelForImageClassification.from_pretrained({str(tmp_path)!r}).config.num_labels == 3
    """
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_loss_is_that_of_the_problem() -> None:
    model = build_network("digits", 3, 8, channels=1).eval()
    pixels = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    several, values = torch.tensor([[1, 0, 1]] * 4), torch.ones(4, 3)
    logits = model(pixels).logits
    model.config.problem_type = "multi_label_classification"
    yes, no = logits.sigmoid().log(), (-logits).sigmoid().log()
    assert float(model(pixels, labels=several).loss.detach()) == pytest.approx(
        -float(torch.where(several > 0, yes, no).mean()), rel=1e-5
    )
    model.config.problem_type = "regression"
    assert float(model(pixels, labels=values).loss.detach()) == pytest.approx(
        float((logits - 1).square().mean()), rel=1e-5
    )
