"""Whether an exported network gives what the network gives: random inputs of several shapes through both."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.evaluation.decisions import softmax
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION
from logitmix_hf.modality import TEXT
from logitmix_hf.serving.classifier import Classifier

TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "int8": math.inf}
"""The types of a graph, with the largest difference of a probability that is let pass; of a value of a regression, in relation
to the largest. Of whole numbers random inputs tell no bound: what they cost is told on rows."""
SHAPES = ((1, 3), (2, 16), (5, 37), (3, 128))
"""Rows and tokens that the exported network is tried on; none is that of the example it was traced with."""


class Logits(nn.Module):
    """The network's logits alone, calibrated by what is not in its weights."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model, self.scaling = classifier.model, classifier.scaling

    def forward(self, **inputs: Tensor) -> Tensor:
        """The network's own inputs by name to (B, C) logits."""
        return self.scaling.apply(self.model(**inputs, return_dict=True).logits)


def random_inputs(classifier: Classifier, rows: int, length: int) -> dict[str, Tensor]:
    """Random inputs: images, or tokens of which all rows but the first are padded to different lengths."""
    draw = torch.Generator().manual_seed(rows * 1000 + length)
    if classifier.modality != TEXT:
        from PIL import Image

        made = classifier.prepare([Image.new("RGB", (64, 64))])
        return {
            name: torch.randn(rows, *value.shape[1:], generator=draw)
            if value.is_floating_point()
            else value.expand(rows, *value.shape[1:]).contiguous()
            for name, value in made.items()
        }
    tokenizer, length = classifier.processor, min(length, classifier.max_length)
    made = dict(classifier.prepare(["a"]))
    around = made["input_ids"][0]  # a row begins and ends as the tokenizer has it: BART reads its answer off the end
    known_ids = range(min(len(tokenizer), classifier.model.config.vocab_size))
    words = sorted(set(known_ids) - {*tokenizer.all_special_ids, int(around[0]), int(around[-1])}) or known_ids
    ids = torch.tensor(words)[torch.randint(0, len(words), (rows, length), generator=draw)]
    ids[:, 0] = around[0]
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(rows):
        end = max(2, length - 2 * row)
        mask[row, end:], ids[row, end:], ids[row, end - 1] = 0, tokenizer.pad_token_id or 0, around[-1]
    known = {"input_ids": ids, "attention_mask": mask}
    return {name: known.get(name, torch.zeros_like(ids)) for name in made}


def largest_difference(classifier: Classifier, path: Path, dtype: str = "fp32") -> float:
    """The largest difference between torch and onnxruntime.

    Args:
        dtype: a name in :data:`TOLERANCES`.

    Raises:
        UserError: when it is above what is let pass, or onnxruntime cannot run the file.
    """
    import onnxruntime

    network, worst = Logits(classifier).eval(), 0.0
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for rows, length in SHAPES:
            inputs = random_inputs(classifier, rows, length)
            with torch.no_grad():
                wanted = network(**inputs).numpy()
            (got,) = session.run(["logits"], {one.name: inputs[one.name].numpy() for one in session.get_inputs()})
            worst = max(worst, difference(classifier.problem, wanted, np.asarray(got)))
    except UserError:
        raise
    except Exception as problem:  # onnxruntime's classes are of its compiled part, one each
        raise UserError(f"onnxruntime cannot run the export of {classifier.name!r}: {one_line(problem)}") from problem
    most = TOLERANCES[dtype]
    if not worst <= most:
        raise UserError(
            f"The export of {classifier.name!r} gives other probabilities than torch (largest difference {worst:.1e}, at"
            f" most {most:.0e} is let pass), so nothing was written: "
            + ("try another --opset." if dtype == "fp32" else f"leave --dtype {dtype} out.")
        )
    return worst


def difference(problem: str, wanted: np.ndarray, got: np.ndarray) -> float:
    """Of logits (B, C): the largest difference of a probability, of a regression of a value in relation to the largest."""
    if wanted.shape != got.shape:
        raise UserError(f"The export gives logits of the shape {got.shape} where torch gives {wanted.shape}.")
    if not (np.isfinite(wanted).all() and np.isfinite(got).all()):
        return float("nan")
    if problem == REGRESSION:
        return float(np.abs(wanted - got).max() / max(1.0, np.abs(wanted).max()))
    if problem == MULTI:
        wanted, got = wanted.reshape(-1), got.reshape(-1)
    return float(np.abs(softmax(wanted) - softmax(got)).max())
