"""A saved network of several members where others are used: pipeline, ONNX, calibrate, predict."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions
from logitmix_hf.serving.classifier import load_classifier
from logitmix_hf.vision.networks import build_network, image_processor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("members")
    torch.manual_seed(0)
    network = build_network("digits", 3, 8, 3, members=2, id2label={0: "a", 1: "b", 2: "c"}, label2id=None).eval()
    network.save_pretrained(path)
    image_processor(8, (0.5,) * 3, (0.5,) * 3).save_pretrained(path)
    return path


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def test_a_pipeline_gives_the_softmax_of_the_averaged_logits(folder):
    classifier = load_classifier(str(folder))
    expected = classifier.probabilities([picture()])[0]
    found = {
        one["label"]: one["score"] for one in pipeline("image-classification", str(folder), device="cpu")(picture())
    }
    np.testing.assert_allclose([found[name] for name in "abc"], expected, atol=1e-6)


def test_onnx_holds_one_convolution_where_members_had_two(folder, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(folder), "--output", str(tmp_path / "onnx")]) == 0
    graph = onnx.load(str(tmp_path / "onnx" / "model.onnx")).graph
    plain = build_network("digits", 3, 8, 3)
    count = sum(isinstance(module, torch.nn.Conv2d) for module in plain.modules())
    assert sum(node.op_type == "Conv" for node in graph.node) == count


def test_calibrate_judges_members_too(folder, tmp_path):
    for number, name in enumerate("abc"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in range(6):
            picture(10 * number + row).save(tmp_path / "data" / name / f"{row}.png")
    out = tmp_path / "judged"
    words = [
        "calibrate",
        "--model",
        folder,
        "--dataset",
        tmp_path / "data",
        "--protocol",
        "halves",
        "--output_dir",
        out,
    ]
    assert (
        main([str(word) for word in [*words, "--use_cpu", "true", "--report_to", "none", "--disable_tqdm", "true"]])
        == 0
    )
    (found,) = (out / "predictions").glob("[!c]*.parquet")
    assert Predictions.load(found).members.shape[1:] == (2, 3)
