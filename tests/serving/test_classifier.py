"""One interface for text and image classifiers of any origin, checked against transformers' own pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from servingmodels import text_classifier, tiny_resnet, tiny_vit
from tiny import CONFIGS, build
from transformers import pipeline

from logitmix_hf.errors import UserError
from logitmix_hf.serving import load_classifier
from logitmix_hf.vision.networks import build_network, image_processor

TEXTS = ["good film", "a very bad meal was not the film", "fine"]


@pytest.fixture(scope="module")
def classifier_folder(tiny_model, tmp_path_factory) -> Path:
    return text_classifier(tmp_path_factory.mktemp("classifier"), tiny_model)


def changed(folder: Path, target: Path, **config) -> Path:
    """A copy whose ``config.json`` differs."""
    shutil.copytree(folder, target)
    values = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**values, **config}))
    return target


def picture(seed: int, size=(20, 16)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def as_the_pipeline(pipe, inputs, names) -> np.ndarray:
    rows = [pipe(one, top_k=None) for one in inputs]
    return np.array([[{cell["label"]: cell["score"] for cell in row}[name] for name in names] for row in rows])


def test_texts_as_the_pipeline_gives_them_whatever_stands_beside_them(classifier_folder):
    classifier = load_classifier(str(classifier_folder), device="cpu")
    assert (classifier.modality, classifier.problem) == ("text", "single_label_classification")
    assert classifier.label_names == ("up", "down", "level")
    pipe = pipeline("text-classification", str(classifier_folder), device="cpu")
    wanted = as_the_pipeline(pipe, TEXTS, classifier.label_names)
    np.testing.assert_allclose(classifier.probabilities(TEXTS), wanted, atol=1e-6)
    logits = classifier.logits(TEXTS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(classifier.logits(TEXTS[:1]), logits[:1], atol=1e-5)


def test_a_pair_is_read_as_a_pair(classifier_folder):
    classifier = load_classifier(str(classifier_folder), device="cpu")
    pipe = pipeline("text-classification", str(classifier_folder), device="cpu")
    wanted = pipe({"text": "good film", "text_pair": "bad meal"}, top_k=None)
    (row,) = classifier.probabilities([("good film", "bad meal")])
    assert {name: pytest.approx(p, abs=1e-6) for name, p in zip(classifier.label_names, row, strict=True)} == {
        cell["label"]: cell["score"] for cell in wanted
    }


@pytest.mark.parametrize("make", [tiny_vit, tiny_resnet])
def test_images_as_the_pipeline_gives_them(make, tmp_path):
    classifier = load_classifier(str(make(tmp_path)), device="cpu")
    assert classifier.modality == "image"
    images = [picture(0), picture(1, (40, 33))]
    wanted = as_the_pipeline(
        pipeline("image-classification", str(tmp_path), device="cpu"), images, classifier.label_names
    )
    np.testing.assert_allclose(classifier.probabilities(images), wanted, atol=1e-6)


def test_a_network_of_ours_for_grey_images(tmp_path):
    build_network("digits", 3, 8, channels=1).save_pretrained(tmp_path)
    image_processor(8, [0.3], [0.2], channels=1).save_pretrained(tmp_path)
    assert load_classifier(str(tmp_path), device="cpu").logits([picture(0)]).shape == (1, 3)


def test_a_temperature_kept_in_the_configuration_divides_the_logits_once(classifier_folder, tmp_path):
    plain = load_classifier(str(classifier_folder), device="cpu")
    kept = changed(classifier_folder, tmp_path / "kept", logitmix={"temperature": 4.0, "folded": False})
    folded = changed(classifier_folder, tmp_path / "folded", logitmix={"temperature": 4.0, "folded": True})
    one = load_classifier(str(kept), device="cpu")
    np.testing.assert_array_equal(one.logits(TEXTS), plain.logits(TEXTS) / 4)
    np.testing.assert_array_equal(one.logits(TEXTS, calibrated=False), plain.logits(TEXTS))
    np.testing.assert_array_equal(load_classifier(str(folded), device="cpu").logits(TEXTS), plain.logits(TEXTS))
    broken = changed(classifier_folder, tmp_path / "broken", logitmix={"temperature": 0, "folded": False})
    with pytest.raises(UserError, match="temperature 0; it must be a number above 0"):
        load_classifier(str(broken))


def test_what_the_outputs_mean(classifier_folder, tiny_model, tmp_path):
    multi = changed(classifier_folder, tmp_path / "multi", problem_type="multi_label_classification")
    classifier = load_classifier(str(multi), device="cpu")
    wanted = 1 / (1 + np.exp(-classifier.logits(TEXTS).astype(np.float64)))
    np.testing.assert_allclose(classifier.probabilities(TEXTS), wanted, rtol=1e-12)
    value = load_classifier(str(text_classifier(tmp_path / "value", tiny_model, names=["score"])), device="cpu")
    assert (value.problem, value.label_names) == ("regression", ())
    with pytest.raises(UserError, match="no probabilities"):
        value.probabilities(TEXTS)


def test_long_texts_are_cut_to_what_run_tokenizer_and_model_take(tiny_model, tmp_path):
    """RoBERTa of 64 positions, padding at 1, counts them from 2: it reads 62 tokens."""
    folder = text_classifier(tmp_path / "model", tiny_model, build(CONFIGS["roberta"]))
    classifier = load_classifier(str(folder), device="cpu")
    assert classifier.max_length == 62
    assert np.isfinite(classifier.logits(["good " * 500])).all()
    record = {"format": "logitmix_hf run 1", "data": {"columns": ["review"]}, "arguments": {"max_length": 16}}
    (folder / "run.json").write_text(json.dumps(record))
    classifier = load_classifier(str(folder), device="cpu")
    assert (classifier.max_length, classifier.columns) == (16, ("review",))
    assert classifier.prepare(["good " * 500])["input_ids"].shape == (1, 16)


def test_weights_in_half_precision_give_logits_in_single(classifier_folder):
    classifier = load_classifier(str(classifier_folder), device="cpu", dtype="bfloat16")
    assert classifier.model.dtype == torch.bfloat16
    logits = classifier.logits(TEXTS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, load_classifier(str(classifier_folder), device="cpu").logits(TEXTS), atol=0.2)


def test_mistakes(classifier_folder, tiny_model, tmp_path):
    def told(name: Path | str, **options) -> str:
        with pytest.raises(UserError) as mistake:
            load_classifier(str(name), **options)
        assert "\n" not in str(mistake.value)
        return str(mistake.value)

    assert "holds 'BertModel', no classifier" in told(tiny_model)
    headless = changed(Path(tiny_model), tmp_path / "headless", architectures=["BertForSequenceClassification"])
    assert "not trained as a text classifier: its file has no weights for 'classifier.bias'" in told(headless)
    assert "is a folder without config.json" in told(tmp_path)
    assert "is no folder" in told("./nowhere")
    bare = tmp_path / "bare"
    build_network("digits", 3, 8).save_pretrained(bare)
    assert "without an image processor" in told(bare)
    assert "The device 'cuda:77' cannot be used here" in told(classifier_folder, device="cuda:77")
    assert "dtype must be one of float32, float16, bfloat16, got 'int4'" in told(classifier_folder, dtype="int4")
    strange = changed(classifier_folder, tmp_path / "strange", problem_type="ranking")
    assert "'ranking'" in told(strange)


def test_code_that_comes_with_a_model_is_not_run_and_nobody_is_asked(tmp_path, monkeypatch):
    """transformers would ask on stdin, where the rows to be predicted may come from."""
    (tmp_path / "own.py").write_text("raise SystemExit('it ran')")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "own.Own"}}))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    with pytest.raises(UserError, match="needs code of its own, which is not run here"):
        load_classifier(str(tmp_path))
