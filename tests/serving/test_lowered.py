"""``logitmix export --dtype fp16|int8``: smaller weights, nearly the same probabilities, and what that costs is told."""

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
from visionrun import flags

from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions
from logitmix_hf.reporting.folder import FORMAT
from logitmix_hf.serving import export_onnx, load_classifier, parity
from logitmix_hf.serving.classifier import find_classifier
from logitmix_hf.serving.lowered import lower
from logitmix_hf.serving.own_rows import own_rows

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

TEXTS = [" ".join((first, middle, last)) for first in ("good", "bad") for middle in ("film", "very", "not") for last in ("one", "a film", "was", "the")]  # fmt: skip  # noqa: E501
NAMES = ("up", "down", "level")


@pytest.fixture(scope="module")
def run(tiny_model, tmp_path_factory) -> Path:
    """A run that was judged on 24 rows of a file, as it stores them; its temperature sharpens four times."""
    folder = tmp_path_factory.mktemp("half") / "run"
    model = build(CONFIGS["bert"], num_hidden_layers=1)
    text_classifier(folder, tiny_model, model, logitmix={"temperature": 0.25, "folded": False, "protocol": "split"})
    rows = folder / "rows.csv"
    with rows.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *([text, NAMES[row % 3]] for row, text in enumerate(TEXTS))])
    labels = np.arange(len(TEXTS)) % 3
    logits = load_classifier(str(folder), device="cpu").logits(TEXTS)
    Predictions(logits, labels, NAMES).save(folder / "predictions" / "validation.parquet")
    record = {
        "format": FORMAT,
        "status": "done",
        "arguments": {"validation_file": str(rows), "do_train": False},
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


@pytest.mark.parametrize(("dtype", "kind", "most"), [("fp16", "FLOAT16", 0.01), ("int8", "UINT8", 0.1)])
def test_smaller_weights_and_the_scores_beside_those_of_torch(run, tmp_path, capsys, dtype, kind, most):
    assert main(["export", str(run), "--dtype", dtype, "--output", str(tmp_path / "half")]) == 0
    said = capsys.readouterr().out
    graph = onnx.load(tmp_path / "half" / "model.onnx").graph
    kinds = [one.data_type for one in graph.initializer if len(one.dims) == 2]  # and the numbers of positions
    assert set(kinds) - {onnx.TensorProto.INT64} == {getattr(onnx.TensorProto, kind)}
    session = onnxruntime.InferenceSession(tmp_path / "half" / "model.onnx")
    assert session.get_outputs()[0].type == "tensor(float)"
    assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == ["up", "down", "level"]
    classifier = load_classifier(str(run), device="cpu")
    batch = classifier.prepare(TEXTS)
    (logits,) = session.run(["logits"], {one.name: batch[one.name].numpy() for one in session.get_inputs()})
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted, labels = classifier.probabilities(TEXTS), np.arange(len(TEXTS)) % 3
    assert 0 < np.abs(chances - wanted).max() < most
    assert "on 24 rows of " in said
    scaled = classifier.logits(TEXTS)
    (of_logits,) = re.findall(r"of a logit (\S+)\)", said)
    assert float(of_logits) == pytest.approx(np.abs(scaled - logits).max(), rel=0.06)
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
    monkeypatch.setitem(parity.TOLERANCES, "fp16", 0.0)
    assert main(["export", str(run), "--dtype", "fp16", "--output", str(tmp_path / "new" / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "so nothing was written: leave --dtype fp16 out." in line
    assert not list((tmp_path / "new").iterdir())


def test_a_graph_without_products_is_no_graph_of_whole_numbers(tmp_path):
    add = onnx.helper.make_node("Add", ["x", "x"], ["logits"])
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "logits")]
    graph = onnx.helper.make_graph([add], "sum", ports[:1], ports[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "model.onnx")
    with pytest.raises(UserError, match="no product of weights that int8 could hold: leave --dtype int8 out"):
        lower(tmp_path / "model.onnx", "int8", 1e9, "weights")


def test_the_rows_of_a_run_are_read_again_as_it_judged_them(tmp_path, capsys):
    assert main(["vision", *flags(tmp_path / "run", method="vanilla", bootstrap=0)]) == 0
    found = find_classifier(str(tmp_path / "run"))
    own = own_rows(found)
    assert own is not None
    classifier = found.load("cpu")
    logits = np.concatenate([classifier.forward(batch) for batch in own.batches(classifier)])
    np.testing.assert_allclose(
        logits, Predictions.load(tmp_path / "run" / "predictions" / "validation.parquet").logits, atol=1e-4
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["arguments"]["dataset"] = "./gone"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert own_rows(find_classifier(str(tmp_path / "run"))) is None
