"""``logitmix export``: what onnxruntime computes from the file is what torch computes from the folder."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from servingmodels import text_classifier, tiny_vit
from tiny import CONFIGS, build
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, BartConfig, BartForSequenceClassification

from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.scaling import Scaling
from logitmix_hf.serving import export_onnx, load_classifier, parity
from logitmix_hf.serving.export import staged
from logitmix_hf.serving.parity import largest_difference
from logitmix_hf.vision.networks import build_network, image_processor

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def softmax(logits: np.ndarray) -> np.ndarray:
    z = np.exp(logits - logits.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def texts(tiny_model, tmp_path_factory) -> Path:
    """One layer, and a temperature that is kept in the configuration."""
    folder = tmp_path_factory.mktemp("texts") / "model"
    model = build(CONFIGS["bert"], num_hidden_layers=1)
    kept = {"temperature": 2.5, "folded": False, "protocol": "split"}
    return text_classifier(folder, tiny_model, model, logitmix=kept)


@pytest.fixture(scope="module")
def exported(texts) -> Path:
    assert main(["export", str(texts), "--format", "onnx"]) == 0
    return texts / "onnx"


def test_texts_of_any_number_and_length_with_the_temperature_in_the_graph(texts, exported):
    """Tokenised by the tokenizer file alone, as a server without transformers would."""
    classifier = load_classifier(str(texts), device="cpu")
    assert classifier.scaling.temperature == 2.5
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    assert tokenizer.truncation is None
    tokenizer.enable_padding(pad_id=1)
    names = {one.name for one in session.get_inputs()}
    for batch in (["good"], ["good film", "bad", "the film was not a very good one"], ["bad " * 40] * 7):
        rows = tokenizer.encode_batch(batch)
        inputs = {"input_ids": [row.ids for row in rows], "attention_mask": [row.attention_mask for row in rows]}
        inputs["token_type_ids"] = [row.type_ids for row in rows]
        (logits,) = session.run(["logits"], {name: np.array(inputs[name], np.int64) for name in names})
        np.testing.assert_allclose(softmax(logits), classifier.probabilities(batch), atol=1e-4)
        assert np.abs(softmax(logits * 2.5) - softmax(logits)).max() > 0.05


def test_the_folder_says_what_is_in_it(texts, exported):
    assert AutoConfig.from_pretrained(exported).logitmix == {"temperature": 2.5, "folded": True, "protocol": "split"}
    assert AutoConfig.from_pretrained(texts).logitmix["folded"] is False
    told = onnxruntime.InferenceSession(exported / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(told["labels"]) == ["up", "down", "level"]
    assert (told["temperature_in_graph"], told["max_length"]) == ("2.5", "64")
    assert not [path for path in texts.iterdir() if path.name.startswith(".")]


def test_a_temperature_in_the_weights_is_told_as_that_of_the_graph(texts, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(texts)
    model.config.logitmix = {"temperature": 0.443, "folded": True}
    model.save_pretrained(tmp_path / "folded")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(texts / name, tmp_path / "folded" / name)
    assert main(["export", str(tmp_path / "folded"), "--output", str(tmp_path / "onnx")]) == 0
    told = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx").get_modelmeta().custom_metadata_map
    assert float(told["temperature_in_graph"]) == 0.443


def test_images_of_a_network_of_ours(tmp_path, capsys):
    torch.manual_seed(0)
    network = build_network("digits", 3, 8)
    network.train()(pixel_values=torch.randn(16, 3, 8, 8))
    network.save_pretrained(tmp_path / "model")
    image_processor(8, [0.3] * 3, [0.2] * 3).save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--output", str(tmp_path / "out")]) == 0
    assert "largest difference" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    classifier = load_classifier(str(tmp_path / "model"), device="cpu")
    for rows in (1, 5):
        pixels = torch.randn(rows, 3, 8, 8)
        with torch.no_grad():
            wanted = classifier.model(pixel_values=pixels).logits.softmax(1).numpy()
        (logits,) = session.run(["logits"], {"pixel_values": pixels.numpy()})
        np.testing.assert_allclose(softmax(logits), wanted, atol=1e-4)
    assert (tmp_path / "out" / "preprocessor_config.json").is_file()


def test_a_vision_transformer(tmp_path):
    made = export_onnx(str(tiny_vit(tmp_path / "model")))
    assert made.folder == tmp_path / "model" / "onnx"
    assert made.difference <= 1e-4


def test_another_networks_file_is_not_let_pass(texts, exported, tmp_path):
    """The comparison compares: the file without its temperature gives other probabilities."""
    other = tmp_path / "other"
    shutil.copytree(texts, other, ignore=shutil.ignore_patterns("onnx"))
    values = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**values, "logitmix": None}))
    with pytest.raises(UserError, match="gives other probabilities than torch"):
        largest_difference(load_classifier(str(other), device="cpu"), exported / "model.onnx")


@pytest.mark.parametrize(("share", "passes"), [(1.0, True), (1.05, False)])
def test_a_temperature_that_is_five_per_cent_off_is_not_let_pass(texts, exported, share, passes):
    """Such a file differs by thousandths of a probability; float32 by ten-millionths."""
    classifier = load_classifier(str(texts), device="cpu")
    other = replace(classifier, scaling=Scaling(share * classifier.scaling.temperature))
    if passes:
        assert largest_difference(other, exported / "model.onnx") < 1e-5
    else:
        with pytest.raises(UserError, match="gives other probabilities than torch"):
            largest_difference(other, exported / "model.onnx")


def failing(*_, **__) -> None:
    try:
        raise ValueError("aten.strange_op has no counterpart\nand then a page of reasons")
    except ValueError as cause:
        raise RuntimeError("a page\nof a\nreport") from cause


def test_what_cannot_be_exported_is_told_in_one_line_and_leaves_nothing(texts, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.onnx.export", failing)
    assert main(["export", str(texts), "--output", str(tmp_path / "new" / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "(BertForSequenceClassification, type 'bert') cannot be exported to ONNX: ValueError: aten.strange_op" in line
    )
    assert not list((tmp_path / "new").iterdir())


def test_a_reason_that_begins_on_one_line_and_stands_on_the_next(texts, tmp_path, capsys, monkeypatch):
    def conflict(*_, **__) -> None:
        raise ValueError("Found these conflicts:\n  - the length is 8\n  - and more")

    monkeypatch.setattr("torch.onnx.export", conflict)
    assert main(["export", str(texts), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("ValueError: Found these conflicts: - the length is 8\n")


def test_the_tokens_that_are_tried_are_rows_as_the_tokenizer_makes_them(tiny_model, tmp_path):
    """BART reads its answer off the closing token, and takes no batch whose rows have different numbers of it."""
    small: dict[str, Any] = dict.fromkeys(("d_model", "encoder_ffn_dim", "decoder_ffn_dim"), 32)
    small |= {f"{part}_{kind}": 1 for part in ("encoder", "decoder") for kind in ("layers", "attention_heads")}
    model = BartForSequenceClassification(BartConfig(vocab_size=60, pad_token_id=1, eos_token_id=3, **small))
    classifier = load_classifier(str(text_classifier(tmp_path, tiny_model, model)), device="cpu")
    for rows, length in (*parity.SHAPES, (40, 64)):
        inputs = parity.random_inputs(classifier, rows, length)
        ids, real = inputs["input_ids"], inputs["attention_mask"].sum(1)
        assert parity.Logits(classifier)(**inputs).shape == (rows, 3)
        assert ids[:, 0].tolist() == [2] * rows
        assert ids[torch.arange(rows), real - 1].tolist() == [3] * rows
        assert ((ids == 2).sum(1) == 1).all()
        assert ((ids == 3).sum(1) == 1).all()
        assert torch.equal(ids == 1, inputs["attention_mask"] == 0)


def test_a_difference_leaves_nothing_either(texts, exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "logitmix_hf.serving.export._write_graph",
        lambda classifier, path, opset: shutil.copy(exported / "model.onnx", path),
    )
    monkeypatch.setitem(parity.TOLERANCES, "fp32", -1.0)
    assert main(["export", str(texts), "--output", str(tmp_path / "out")]) == 2
    assert "so nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(parity.TOLERANCES, "fp32", 1e-4)
    before = (exported / "model.onnx").stat().st_mtime_ns
    assert main(["export", str(texts)]) == 2
    assert "exists: give another --output, or replace it by --overwrite" in capsys.readouterr().err
    assert (exported / "model.onnx").stat().st_mtime_ns == before
    assert main(["export", str(texts), "--output", str(tmp_path / "out")]) == 0
    assert main(["export", str(texts), "--output", str(tmp_path / "out"), "--overwrite"]) == 0


def test_mistakes(texts, tmp_path, capsys, monkeypatch):
    def told(*words: object) -> str:
        assert main(["export", *map(str, words)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "needs a model first" in told("--format", "onnx")
    assert "format must be one of onnx, plain, got 'onx'. Did you mean 'onnx'?" in told(texts, "--format", "onx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "is not empty and holds no model.onnx" in told(texts, "--output", tmp_path / "mine", "--overwrite")
    assert "is a file; give a folder" in told(texts, "--output", tmp_path / "mine" / "letter.txt")
    assert "opset must be a number at least 18" in told(texts, "--opset", 9)
    assert "opset must be a number at least 18 and at most" in told(texts, "--opset", 99, "--output", tmp_path / "new")
    assert "holds a model that would be lost" in told(texts, "--output", texts, "--overwrite")
    assert "is no folder" in told(tmp_path / "nowhere")
    assert "dtype must be one of fp32, fp16, int8, got 'fp61'. Did you mean 'fp16'?" in told(texts, "--dtype", "fp61")
    assert "--dtype fp16 is of an ONNX file, and --format plain" in told(texts, "--format", "plain", "--dtype", "fp16")
    assert "--rows 'no.csv' does not exist: give a table" in told(texts, "--dtype", "fp16", "--rows", "no.csv")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxscript" else find(name, *rest)
    )
    assert "needs onnxscript, not installed here: pip install 'logitmix_hf[onnx]'" in told(texts)


def test_an_opset_that_torch_does_not_write_and_a_folder_in_the_place_of_a_file(texts, tmp_path, capsys):
    """Torch converts where it can and else keeps its own, in silence; onnx here knows one that torch does not write."""
    from onnx.defs import onnx_opset_version

    newest = str(onnx_opset_version())
    code = main(["export", str(texts), "--output", str(tmp_path / "new"), "--opset", newest])
    if code:  # else torch has learned it
        assert f"--opset {newest} was asked for, and torch wrote" in capsys.readouterr().err
    else:
        (made,) = (one.version for one in onnx.load(tmp_path / "new" / "model.onnx").opset_import if not one.domain)
        assert str(made) == newest
    assert (tmp_path / "new").exists() is (code == 0)
    folder = tmp_path / "folder"
    (folder / "config.json").mkdir(parents=True)
    (folder / "model.onnx").write_text("old")
    with (  # noqa: PT012
        pytest.raises(UserError, match=r"has a folder where the file config\.json should be"),
        staged(folder, "model.onnx") as staging,
    ):
        (staging / "config.json").write_text("{}")
        (staging / "model.onnx").write_text("new")
    assert (folder / "model.onnx").read_text() == "old"
