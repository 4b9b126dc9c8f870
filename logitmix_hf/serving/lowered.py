"""An exported graph in float16 or int8, and what that costs: the same rows through torch and through the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION
from logitmix_hf.evaluation.scaling import NONE
from logitmix_hf.serving.classifier import Classifier, FoundClassifier
from logitmix_hf.serving.inputs import Input, open_input
from logitmix_hf.serving.own_rows import OwnRows, own_rows
from logitmix_hf.serving.parity import difference
from logitmix_hf.serving.predict import logits_reader

_INTEGER = ("MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM")
_HELD = 512
"""Rows that are read at once."""
_STORED = 1e-3
"""How near torch's probabilities are to a run's stored ones where the rows are the same."""


def lower(path: Path, dtype: str, one_file: float, weights: str) -> None:
    """The graph at ``path`` in another type, its inputs and outputs as they were, by onnxruntime.

    Args:
        dtype: "fp16", weights and arithmetic; "int8", the weights of its products as whole numbers of eight bits, and what
            they are multiplied with as such too, by the range of each batch (dynamic quantisation).
        one_file: bytes up to which all stands in one file; more weights go into the file ``weights`` beside it.

    Raises:
        UserError: the converter does not take the graph, or finds nothing in it.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        if dtype == "fp16":
            model: Any = convert_float_to_float16(str(path), keep_io_types=True)
        else:
            model = _whole_numbers(path, one_file)
    except Exception as problem:  # of many kinds, as the network has an operator that it does not know
        raise UserError(
            f"The graph cannot be written in {dtype} ({one_line(problem)}): leave --dtype {dtype} out."
        ) from problem
    if dtype == "int8" and not any(node.op_type in _INTEGER for node in model.graph.node):
        raise UserError("The graph has no product of weights that int8 could hold: leave --dtype int8 out.")
    (path.parent / weights).unlink(missing_ok=True)
    path.unlink()
    onnx.save(model, str(path), save_as_external_data=model.ByteSize() > one_file, location=weights)


def _whole_numbers(path: Path, one_file: float) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        large = sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*")) > one_file
        # Unsigned: sums of signed products overflow on processors without VNNI, and scores would depend on the machine.
        quantize_dynamic(path, made, per_channel=True, weight_type=QuantType.QUInt8, use_external_data_format=large)
        return onnx.load(made)


@dataclass(frozen=True)
class Cost:
    """Of ``rows`` rows of ``source``: the largest difference of a probability (of a regression, of a value) and of a logit, how
    many answers differ, and the scores by name as (torch, file), of the run's own rows alone."""

    source: str
    rows: int
    difference: float
    of_logits: float
    other_answers: int
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class _Session(nn.Module):
    """The exported graph where a classifier has its network."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, path: Path, config: Any) -> None:
        super().__init__()
        import onnxruntime

        self.session, self.config = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), config
        self.names = [one.name for one in self.session.get_inputs()]

    def forward(self, **inputs: Tensor) -> Any:
        (logits,) = self.session.run(["logits"], {name: inputs[name].numpy() for name in self.names})
        return SimpleNamespace(logits=torch.from_numpy(np.asarray(logits)))


def rows_to_judge(found: FoundClassifier, asked: str | None, dtype: str) -> Input | OwnRows | None:
    """The rows that were asked for; else, of any type but float32, those that the run was judged on, where they can be had.

    Raises:
        UserError: those asked for cannot be read.
    """
    if asked is None:
        return own_rows(found) if dtype != "fp32" else None
    try:
        return open_input(asked, found.modality, None, (), found.columns, f"the model {found.name!r}")
    except UserError as problem:
        raise UserError(str(problem).replace("--input", "--rows")) from problem


def cost(classifier: Classifier, path: Path, data: Input | OwnRows) -> Cost:
    """The rows of ``data`` by torch and by the file; with scores where they are the run's own judged rows.

    Raises:
        UserError: none of the rows can be classified.
    """
    exported = replace(classifier, model=_Session(path, classifier.model.config), scaling=NONE)  # type: ignore[arg-type]
    if isinstance(data, OwnRows):
        pairs = [[one.forward(batch) for one in (classifier, exported)] for batch in data.batches(classifier)]
    else:
        pairs = list(_asked(classifier, exported, data))
    names, problem = classifier.label_names, classifier.problem
    before, after = (Predictions(np.concatenate(side), None, names, problem) for side in zip(*pairs, strict=True))
    differ = 0
    if problem != REGRESSION:
        other = before.predictions != after.predictions
        differ = int((other.any(axis=1) if problem == MULTI else other).sum())
    worst = difference(problem, before.logits, after.logits)
    scores = _scores(data.stored, before, after) if isinstance(data, OwnRows) else {}
    return Cost(data.name, len(before), worst, float(np.abs(before.logits - after.logits).max()), differ, scores)


def _asked(classifier: Classifier, exported: Classifier, data: Input) -> Iterator[list[np.ndarray]]:
    """Both sides' logits of the rows that can be classified, some at a time."""
    sides = [logits_reader(one, 32) for one in (classifier, exported)]
    rows, found = (row for row in data.rows if not row.wrong), False
    while some := list(islice(rows, _HELD)):
        some = [replace(row, index=place) for place, row in enumerate(some)]
        (one, wrong), (other, _) = (read(some) for read in sides)
        if kept := [row.index for row in some if row.index not in wrong and row.index in one]:
            found = True
            yield [np.stack([side[index] for index in kept]) for side in (one, other)]
    if not found:
        raise UserError(
            f"--rows {data.name!r} has no row that can be classified: give rows as logitmix predict reads them."
        )


def _scores(stored: Predictions, before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
    """By the labels of the run's stored predictions, where torch gives these very rows the same answers again."""
    if stored.logits.shape != before.logits.shape or difference(before.problem, stored.logits, before.logits) > _STORED:
        return {}
    sides = [evaluate_predictions(replace(one, labels=stored.labels)) for one in (before, after)]
    names = [name for place, name in enumerate(sides[0]) if not place or name in ("ece", "nll")]
    return {name: (sides[0][name], sides[1][name]) for name in names}
