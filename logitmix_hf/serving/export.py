"""A classifier as an ONNX file that gives the same calibrated probabilities."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from logitmix_hf.disk import expanded, sync_folder, sync_tree, why_not_writable
from logitmix_hf.errors import UserError, check_choice, check_number
from logitmix_hf.modality import TEXT
from logitmix_hf.models.folding import scaling_inside
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.serving.classifier import Classifier, find_classifier
from logitmix_hf.serving.host import bars_for_people
from logitmix_hf.serving.lowered import Cost, cost, lower, rows_to_judge
from logitmix_hf.serving.parity import SHAPES, TOLERANCES, Logits, largest_difference, random_inputs

FILE = "model.onnx"
WEIGHTS = f"{FILE}.data"
"""Beside it where the weights are too many for one file of its format."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ONE_FILE = 1.8e9  # bytes; a file of protobuf ends at 2 GiB


@dataclass(frozen=True)
class Export:
    """What was exported: its folder, the largest difference to torch, over how many trials, its size in bytes, and whether
    it is one window of a text that it reads; what it gives on the rows that were asked for."""

    folder: Path
    difference: float
    trials: int
    size: int
    of_windows: bool = False
    cost: Cost | None = None


def export_onnx(
    name: str,
    output: str | os.PathLike[str] | None = None,
    opset: int | None = None,
    *,
    dtype: str = "fp32",
    rows: str | None = None,
    overwrite: bool = False,
    revision: str = "main",
    token: str | None = None,
) -> Export:
    """Write a classifier as ``model.onnx``, with its configuration and tokenizer or image processor beside it.

    Batch and, of texts, length are free. A temperature that was kept in the configuration is part of the graph:
    softmax of its logits is calibrated. Nothing is written unless onnxruntime gives what torch gives, to
    :data:`~logitmix_hf.serving.parity.TOLERANCES`, on batches of several shapes.

    Args:
        name: as :func:`~logitmix_hf.serving.classifier.load_classifier` takes it.
        output: the folder; default ``onnx`` within a local model, ``onnx-NAME`` here for one of the Hub.
        opset: version of the operators; default torch's.
        dtype: a name in :data:`~logitmix_hf.serving.parity.TOLERANCES`, which has what is let pass then.
        rows: what torch and the file are compared on besides, as ``logitmix predict`` reads it; default, of any type but
            float32, the rows that a run was judged on.

    Raises:
        UserError: for an unknown type, when packages are missing, something is there already, or the network cannot be
            exported or gives something else then.
    """
    check_choice("dtype", dtype, tuple(TOLERANCES))
    _require_packages()
    found = find_classifier(name, revision, token)
    folder = folder_for(name, output, "onnx", FILE, overwrite)
    if opset is not None:
        from onnx.defs import onnx_opset_version

        check_number("opset", opset, low=18, high=onnx_opset_version())
    data = rows_to_judge(found, rows, dtype)
    with bars_for_people():
        classifier = found.load("cpu")
    windows, classifier = classifier.windows, replace(classifier, windows=None)  # a graph reads one window
    with staged(folder, FILE) as staging:
        _write_graph(classifier, staging / FILE, opset)
        if dtype != "fp32":
            with _silence():
                lower(staging / FILE, dtype, _ONE_FILE, WEIGHTS)
        difference = largest_difference(classifier, staging / FILE, dtype)
        judged = None if data is None else cost(classifier, staging / FILE, data)
        _write_rest(classifier, staging)
        size = sum(path.stat().st_size for path in (staging / FILE, staging / WEIGHTS) if path.exists())
    return Export(folder, difference, len(SHAPES), size, windows is not None, judged)


def _require_packages() -> None:
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"logitmix export needs {' and '.join(missing)}, not installed here: pip install 'logitmix_hf[onnx]'."
        )


def folder_for(name: str, output: str | os.PathLike[str] | None, kind: str, file: str, overwrite: bool) -> Path:
    """The folder that an export may be written to, not a run's or the model's own: ``output``, else ``kind`` within a local
    model, ``kind-NAME`` here for one of the Hub. ``file`` tells an export that is there.

    Raises:
        UserError: naming the folder and what is in it.
    """
    model = expanded(name)
    last = name.rstrip("/").rpartition("/")[2]
    folder = Path(output) if output is not None else model / kind if model.is_dir() else Path(f"{kind}-{last}")
    if os.path.exists(folder) and not folder.is_dir():
        raise UserError(f"--output {str(folder)!r} is a file; give a folder.")
    if reason := why_not_writable(folder):
        raise UserError(f"The folder {str(folder)!r} cannot be written ({reason}): give another by --output.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder
    if RunFolder(folder).holds_run() or (model.is_dir() and folder.samefile(model)):
        raise UserError(f"--output {str(folder)!r} holds a model that would be lost; give another folder.")
    if not (folder / file).is_file():
        raise UserError(f"--output {str(folder)!r} is not empty and holds no {file}; give another folder.")
    if not overwrite:
        raise UserError(f"{str(folder / file)!r} exists: give another --output, or replace it by --overwrite.")
    return folder


# --- the graph ------------------------------------------------------------------------------------------------------


def _write_graph(classifier: Classifier, path: Path, opset: int | None) -> None:
    example = random_inputs(classifier, rows=2, length=8)
    axes = {name: {0: torch.export.Dim.DYNAMIC} for name in example}
    if classifier.modality == TEXT:
        axes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in example}
    size = sum(value.numel() * value.element_size() for value in classifier.model.state_dict().values())
    try:
        with _silence(), torch.no_grad():
            program: Any = torch.onnx.export(
                Logits(classifier).eval(),
                (),
                kwargs=example,
                input_names=list(example),
                output_names=["logits"],
                dynamic_shapes={"inputs": axes},
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
            program.model.metadata_props.update(_metadata(classifier))
            program.save(path, external_data=size > _ONE_FILE)
            written = program.model.opset_imports[""]
    except Exception as problem:  # of many kinds, each a page long
        kind = classifier.model.config.model_type
        raise UserError(
            f"--model {classifier.name!r} ({type(classifier.model).__name__}, type {kind!r}) cannot be exported to ONNX:"
            f" {_cause(problem)}"
        ) from problem
    if opset not in (None, written):
        raise UserError(f"--opset {opset} was asked for, and torch wrote {written}: ask for that, or leave it out.")


def _cause(problem: BaseException) -> str:
    """The line that says what failed, from the bottom of a chain of exceptions."""
    while (deeper := problem.__cause__) is not None:
        problem = deeper
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    reason = " ".join(lines[: 2 if lines[:1] and lines[0].endswith(":") else 1])
    text = f"{type(problem).__name__}: {reason or 'no reason given'}"
    return text if len(text) <= 300 else text[:297] + "…"


def _metadata(classifier: Classifier) -> dict[str, str]:
    """What a program that reads the file alone needs to know."""
    from logitmix_hf.version import __version__

    whole = classifier.scaling.after(scaling_inside(classifier.model.config))
    facts = {
        "producer": f"logitmix_hf {__version__}",
        "problem": classifier.problem,
        "labels": json.dumps(classifier.label_names, ensure_ascii=False),
    }
    if whole.scale is None:
        facts["temperature_in_graph"] = repr(whole.temperature)
    else:
        facts["vector_scaling_in_graph"] = json.dumps(whole.record())
    if classifier.thresholds is not None:
        facts["thresholds"] = json.dumps(classifier.thresholds.record(), ensure_ascii=False)
    if classifier.modality == TEXT:
        facts["max_length"] = str(classifier.max_length)
        facts["pad_token_id"] = str(classifier.processor.pad_token_id or 0)
        if (windows := Windows.read(classifier.model.config)) is not None:
            facts["long_texts"] = json.dumps(windows.record())
    return facts


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter writes pages about what it does, in every way there is."""
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- the folder -----------------------------------------------------------------------------------------------------


def _write_rest(classifier: Classifier, folder: Path) -> None:
    config = classifier.model.config
    config.save_pretrained(folder)
    temperature_record = getattr(config, "logitmix", None)
    if isinstance(temperature_record, dict):  # of the exported file it is true whatever the weights have
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        values["logitmix"] = {**temperature_record, "folded": True}
        (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    backend = getattr(classifier.processor, "backend_tokenizer", None)
    if backend is not None:  # it remembers how it was called last
        backend.no_truncation()
        backend.no_padding()
    classifier.processor.save_pretrained(folder)


@contextlib.contextmanager
def staged(folder: Path, file: str) -> Iterator[Path]:
    """Within: a folder beside it to write to. At the end all its files go into place, ``file`` last: who finds it finds the
    rest.

    Raises:
        UserError: a folder is where one of them should be.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield staging
        sync_tree(staging)
        folder.mkdir(exist_ok=True)
        if taken := [path.name for path in sorted(staging.iterdir()) if (folder / path.name).is_dir()]:
            raise UserError(
                f"--output {str(folder)!r} has a folder where the file {taken[0]} should be; give another folder."
            )
        for path in sorted(staging.iterdir(), key=lambda path: (path.name == file, path.name)):
            os.replace(path, folder / path.name)
        sync_folder(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
