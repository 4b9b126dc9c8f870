"""A small finished run folder, made by hand: four rows whose numbers can be counted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCard

from logitmix_hf.evaluation.predictions import SINGLE, Predictions
from logitmix_hf.reporting.card import model_card
from logitmix_hf.reporting.folder import FORMAT

RESULTS = {
    "eval_accuracy": 0.75,
    "eval_ece": 0.05,
    "eval_nll": 0.5,
    "eval_uncalibrated_ece": 0.15,
    "eval_uncalibrated_nll": 0.7,
    "temperature": 1.5,
    "calibration": {
        "split": "rows of train",
        "rows": 249,
        "protocol": "split",
        "seed": 42,
        "bound": "",
        "interval": [1.25, 1.8],
    },
}
INTERVALS = {
    "level": 0.9,
    "resamples": 500,
    "seed": 7,
    "eval": {"accuracy": [0.7, 0.8], "ece": [0.01, 0.09]},
    "eval_uncalibrated": {"ece": [0.11, 0.19]},
}
CONFIG = {"logitmix": {"temperature": 1.5, "folded": True, "protocol": "split"}}


def record(**changes):
    run = {
        "format": FORMAT,
        "status": "done",
        "command": "logitmix glue --task rte --method logitmix",
        "arguments": {"learning_rate": 2e-5, "num_train_epochs": 3.0, "bins": 15},
        "seeds": {"seed": 42},
        "model": {"base": "google-bert/bert-base-uncased"},
        "data": {
            "name": "rte", "source": "nyu-mll/glue", "kind": "hub", "config": "rte", "problem": SINGLE,
            "label_names": ["entailment", "not_entailment"], "columns": ["sentence1", "sentence2"],
            "metrics": ["accuracy"], "train_rows": 2490, "splits": {"eval": {"split": "validation", "rows": 4}},
        },
        "method": {"name": "logitmix", "site": "layer.3", "w_mix": 1.0, "w_cls": 1.0, "w_sim": 0.5},
        "environment": {"versions": {"torch": "2.14.1"}, "cpu": "a processor", "cores": 8, "threads": 4, "processes": 2,
                        "device": {"type": "cuda", "name": "NVIDIA H100", "memory_gb": 80.0}},
        "finished": "2026-11-25T07:26:17+00:00",
        "seconds": 1234.5,
        "examples_per_second": 321.09,
        "peak_memory": {"process_mb": 1576.2, "device_mb": 2048.0},
    }  # fmt: skip
    for key, value in changes.items():
        run[key] = {**run[key], **value} if isinstance(value, dict) else value
    return run


def card(results=RESULTS, run=None, **more) -> str:
    return model_card(run or record(), results, name="bert-rte", location="runs/x", **more)


def section(text: str, heading: str) -> str:
    """What stands under a heading; empty without it."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def metadata(text: str) -> Any:
    """The metadata as the Hub's own class reads it."""
    return ModelCard(text).data


def logits_of(confidences, chosen=1):
    """Two columns whose softmax gives the chosen class these probabilities."""
    p = np.asarray(confidences, dtype=np.float64)
    z = np.log(p / (1 - p))
    return np.stack([np.zeros_like(z), z] if chosen else [z, np.zeros_like(z)], axis=1)


def four_rows(**changes):
    """Confidences .9, .8, .7, .6, all for class 1; the last is wrong."""
    return Predictions(**{"logits": logits_of([0.9, 0.8, 0.7, 0.6]), "labels": np.array([1, 1, 1, 0]), **changes})


def write_run(path: Path, run=None, results=RESULTS, intervals=INTERVALS, config=CONFIG, predictions=None) -> Path:
    """The folder, with a card for each thing that it may hold; None leaves a file out."""
    path.mkdir(parents=True, exist_ok=True)
    files = {
        "run.json": run or record(),
        "eval_results.json": results,
        "intervals.json": intervals,
        "config.json": config,
    }
    for name, content in files.items():
        if content is not None:
            (path / name).write_text(json.dumps(content))
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "reliability.png").write_bytes(b"picture")
    (predictions or four_rows()).save(path / "predictions" / "validation.parquet")
    return path
