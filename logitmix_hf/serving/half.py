"""An exported graph in half precision, and what that costs: the same rows through torch and through the file."""

from __future__ import annotations

from collections.abc import Mapping
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
from logitmix_hf.reporting.folder import RECORD, RunFolder
from logitmix_hf.serving.classifier import Classifier, FoundClassifier
from logitmix_hf.serving.inputs import Input, open_input
from logitmix_hf.serving.parity import difference
from logitmix_hf.serving.predict import logits_reader

HALF_TOLERANCE = 0.02
"""Largest difference of a probability to torch's float32 that half precision may have on random inputs."""
_HELD = 512
"""Rows that are read at once."""
_STORED = 1e-3
"""How near torch's probabilities are to a run's stored ones where the rows are the same."""


def to_half(path: Path, one_file: float, weights: str) -> None:
    """Weights and arithmetic of the graph at ``path`` in float16, its inputs and outputs as they were (by onnxruntime).

    Args:
        one_file: bytes up to which all stands in one file; more weights go into the file ``weights`` beside it.

    Raises:
        UserError: the converter does not take the graph.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        model = convert_float_to_float16(str(path), keep_io_types=True)
    except Exception as problem:  # of many kinds, as the network has an operator that it does not know
        raise UserError(
            f"The graph cannot be written in half precision ({one_line(problem)}): leave --dtype fp16 out."
        ) from problem
    (path.parent / weights).unlink(missing_ok=True)
    path.unlink()
    onnx.save(model, str(path), save_as_external_data=model.ByteSize() > one_file, location=weights)


@dataclass(frozen=True)
class Cost:
    """Of ``rows`` rows of ``source``: the largest difference of a probability (of a regression, of a value), how many answers
    differ, and the scores by name as (torch, file); none without labels."""

    source: str
    rows: int
    difference: float
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


def rows_to_judge(found: FoundClassifier, asked: str | None, half: bool) -> Input | None:
    """The rows that were asked for; else, of ``half``, those that the run was judged on, where they can still be read.

    Raises:
        UserError: those asked for cannot be read.
    """
    folder, source = RunFolder(found.name), asked
    if asked is None and half and folder.holds_run():
        source = (folder.read_json(RECORD).get("arguments") or {}).get("validation_file")
    if source is None:
        return None
    try:
        return open_input(str(source), found.modality, None, (), found.columns, f"the model {found.name!r}")
    except UserError as problem:
        if asked is None:
            return None
        raise UserError(str(problem).replace("--input", "--rows")) from problem


def cost(classifier: Classifier, path: Path, data: Input) -> Cost:
    """The rows of ``data`` by torch and by the file; with scores where they are the run's own judged rows.

    Raises:
        UserError: none of the rows can be classified.
    """
    exported = replace(classifier, model=_Session(path, classifier.model.config), scaling=NONE)  # type: ignore[arg-type]
    sides = [logits_reader(one, 32) for one in (classifier, exported)]
    found: list[list[np.ndarray]] = [[], []]
    rows = (row for row in data.rows if not row.wrong)
    while some := list(islice(rows, _HELD)):
        some = [replace(row, index=place) for place, row in enumerate(some)]
        (one, wrong), (other, _) = (read(some) for read in sides)
        for kept, logits in zip(found, (one, other), strict=True):
            kept += [logits[row.index] for row in some if row.index not in wrong and row.index in logits]
    if not found[0]:
        raise UserError(
            f"--rows {data.name!r} has no row that can be classified: give rows as logitmix predict reads them."
        )
    names, problem = classifier.label_names, classifier.problem
    before, after = (Predictions(np.stack(kept), None, names, problem) for kept in found)
    differ = 0
    if problem != REGRESSION:
        other = before.predictions != after.predictions
        differ = int((other.any(axis=1) if problem == MULTI else other).sum())
    worst = difference(problem, before.logits, after.logits)
    return Cost(data.name, len(before), worst, differ, _scores(Path(classifier.name), before, after))


def _scores(model: Path, before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
    """By the labels of the run's stored predictions, where torch gives these very rows the same answers again."""
    folder = RunFolder(model)
    if not folder.holds_run():
        return {}
    for split in (folder.read_json(RECORD)["data"].get("splits") or {}).values():
        file = model / "predictions" / f"{split['split']}.parquet"
        stored = Predictions.load(file) if file.exists() else None
        if stored is None or stored.labels is None or stored.logits.shape != before.logits.shape:
            continue
        if difference(before.problem, stored.logits, before.logits) < _STORED:
            sides = [evaluate_predictions(replace(p, labels=stored.labels)) for p in (before, after)]
            names = [name for place, name in enumerate(sides[0]) if not place or name in ("ece", "nll")]
            return {name: (sides[0][name], sides[1][name]) for name in names}
    return {}
