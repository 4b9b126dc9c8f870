"""Folders of finished runs, written without training: what ``logitmix report`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.evaluation import DEFAULT_METRICS, MULTI, REGRESSION, SINGLE, Predictions, evaluate_predictions
from logitmix_hf.reporting.folder import FORMAT

ROWS = 160


def labels_of(task: str, rows: int = ROWS) -> np.ndarray:
    """The same labels for every run of a task."""
    return np.random.default_rng(len(task)).integers(0, 2, rows)


def logits_of(labels: np.ndarray, seed: int, right: float = 0.8, sharp: float = 3.0) -> np.ndarray:
    """(N, 2): a share ``right`` of the rows is predicted as labelled, with logits of about ``sharp``."""
    rng = np.random.default_rng(seed)
    hit = rng.random(len(labels)) < right
    shown = np.where(hit, labels, 1 - labels)
    size = sharp * rng.uniform(0.2, 1.0, len(labels))
    return np.stack([np.where(shown == 0, size, 0.0), np.where(shown == 1, size, 0.0)], axis=1)


def write_run(
    folder: Path,
    task: str = "toy",
    method: str = "vanilla",
    seed: int = 1,
    *,
    logits: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    problem: str = SINGLE,
    names: tuple[str, ...] = ("no", "yes"),
    temperature: float | None = None,
    arguments: dict[str, Any] | None = None,
    **record: Any,
) -> Path:
    """Write ``run.json``, ``eval_results.json``, ``trainer_state.json`` and the predictions; returns the folder."""
    if labels is None:
        labels = labels_of(task)
    if logits is None:
        logits = logits_of(labels, seed)
    label_names = () if problem == REGRESSION else names
    predictions = Predictions(logits=logits, labels=labels, label_names=label_names, problem=problem)
    predictions.save(folder / "predictions" / "validation.parquet")
    metrics = DEFAULT_METRICS[problem]
    results: dict[str, Any] = {f"eval_{key}": value for key, value in evaluate_predictions(predictions).items()}
    if temperature is not None:
        results |= {"temperature": temperature, "calibration": {"split": "a share of train", "rows": 200, "seed": 0}}
    mixes = method != "vanilla"
    run = {
        "format": FORMAT,
        "status": "done",
        "arguments": {"seed": seed, "output_dir": str(folder), "learning_rate": 5e-5, "method": method, "bins": 15}
        | (arguments or {}),
        "seeds": {"seed": seed, "data_seed": seed},
        "model": {"base": "some/encoder"},
        "data": {
            "name": task,
            "source": "made up",
            "problem": problem,
            "metrics": list(metrics),
            "splits": {"eval": {"split": "validation", "rows": len(labels)}},
        },
        "method": {"name": method, "site": "layer.1" if mixes else None, "mixer": "linear"},
        "environment": {"cpu": "a cpu", "threads": 1, "device": {"type": "cpu"}},
        "seconds": 100.0 + seed,
        "examples_per_second": 50.0,
        "peak_memory": {"process_mb": 900.0, "device_mb": None},
        **record,
    }
    terms = {"loss_mix": 0.6, "loss_cls": 0.3, "loss_sim": 0.1} if mixes else {"loss_cls": 0.6}
    history = [
        {"step": step, "loss": 1 / step, **{key: share / step for key, share in terms.items()}} for step in (1, 2, 4)
    ]
    history.append({"step": 4, "eval_accuracy": 0.7, "eval_ece": 0.1})
    write_json(folder / "run.json", run)
    write_json(folder / "eval_results.json", results)
    write_json(folder / "trainer_state.json", {"log_history": history})
    return folder


def write_multi(folder: Path, **changes: Any) -> Path:
    """A run with two yes-no labels a row."""
    labels = np.stack([labels_of("one", 60), labels_of("three", 60)], axis=1)
    logits = np.where(labels == 1, 1.5, -1.5) + np.random.default_rng(3).normal(0, 1.5, labels.shape)
    return write_run(folder, "tags", logits=logits, labels=labels, problem=MULTI, **changes)


def write_regression(folder: Path, **changes: Any) -> Path:
    """A run that predicts a number."""
    labels = np.linspace(0, 5, 60)
    logits = (labels + np.random.default_rng(4).normal(0, 1, 60))[:, None]
    return write_run(folder, "price", logits=logits, labels=labels, problem=REGRESSION, **changes)


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values))


def change_json(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text()) | changes)
