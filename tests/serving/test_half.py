"""``logitmix export --dtype fp16``: half the weights, nearly the same probabilities, and what that costs is told."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from servingmodels import text_classifier
from sklearn.metrics import accuracy_score, log_loss
from tiny import CONFIGS, build

from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions
from logitmix_hf.reporting.folder import FORMAT
from logitmix_hf.serving import export_onnx, load_classifier

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

TEXTS = [" ".join((first, middle, last)) for first in ("good", "bad") for middle in ("film", "very", "not") for last in ("one", "a film", "was", "the")]  # fmt: skip  # noqa: E501


@pytest.fixture(scope="module")
def run(tiny_model, tmp_path_factory) -> Path:
    """A run that was judged on 24 rows of a file, as it stores them; its temperature sharpens four times."""
    folder = tmp_path_factory.mktemp("half") / "run"
    model = build(CONFIGS["bert"], num_hidden_layers=1)
    text_classifier(folder, tiny_model, model, logitmix={"temperature": 0.25, "folded": False, "protocol": "split"})
    rows = folder / "rows.csv"
    with rows.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    labels = np.arange(len(TEXTS)) % 3
    logits = load_classifier(str(folder), device="cpu").logits(TEXTS)
    Predictions(logits, labels, ("up", "down", "level")).save(folder / "predictions" / "validation.parquet")
    record = {
        "format": FORMAT,
        "status": "done",
        "arguments": {"validation_file": str(rows)},
        "data": {"columns": ["text"], "splits": {"eval": {"split": "validation", "rows": len(TEXTS)}}},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def whole(run) -> Path:
    """The graph in float32, which takes torch seconds to trace."""
    return export_onnx(str(run), run.parent / "whole").folder / "model.onnx"


@pytest.fixture(autouse=True)
def traced_once(whole, monkeypatch):
    monkeypatch.setattr("logitmix_hf.serving.export._write_graph", lambda _, path, opset: shutil.copy(whole, path))


def test_half_the_weights_and_the_scores_beside_those_of_torch(run, tmp_path, capsys):
    assert main(["export", str(run), "--dtype", "fp16", "--output", str(tmp_path / "half")]) == 0
    said = capsys.readouterr().out
    graph = onnx.load(tmp_path / "half" / "model.onnx").graph
    kinds = [one.data_type for one in graph.initializer if len(one.dims) == 2]  # and the numbers of positions
    assert set(kinds) - {onnx.TensorProto.INT64} == {onnx.TensorProto.FLOAT16}
    session = onnxruntime.InferenceSession(tmp_path / "half" / "model.onnx")
    assert session.get_outputs()[0].type == "tensor(float)"
    assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == ["up", "down", "level"]
    classifier = load_classifier(str(run), device="cpu")
    batch = classifier.prepare(TEXTS)
    (logits,) = session.run(["logits"], {one.name: batch[one.name].numpy() for one in session.get_inputs()})
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted, labels = classifier.probabilities(TEXTS), np.arange(len(TEXTS)) % 3
    assert 0 < np.abs(chances - wanted).max() < 0.01
    assert "on 24 rows of " in said
    told = {name: [float(one), float(other)] for name, one, other in re.findall(r"(\w+) (\S+) → ([\d.]+)", said)}
    assert told["accuracy"] == pytest.approx(
        [accuracy_score(labels, some.argmax(1)) for some in (wanted, chances)], abs=1e-4
    )
    assert told["nll"] == pytest.approx([log_loss(labels, some) for some in (wanted, chances)], abs=2e-4)
    assert "ece" in told


def test_other_rows_have_a_difference_and_no_scores(run, tmp_path, capsys):
    rows = tmp_path / "others.csv"
    rows.write_text("text\ngood film\nbad\n")
    assert main(["export", str(run), "--dtype", "fp16", "--rows", str(rows), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"on 2 rows of {rows}: largest difference " in said
    assert "→" not in said
    rows.write_text("words\ngood film\n")
    assert main(["export", str(run), "--rows", str(rows), "--output", str(tmp_path / "other")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(rows) in line
    assert "words" in line
    assert "--input" not in line


def test_what_half_precision_cannot_hold_is_told_in_one_line_and_leaves_nothing(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("logitmix_hf.serving.export.HALF_TOLERANCE", 0.0)
    assert main(["export", str(run), "--dtype", "fp16", "--output", str(tmp_path / "new" / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "so nothing was written: leave --dtype fp16 out." in line
    assert not list((tmp_path / "new").iterdir())
