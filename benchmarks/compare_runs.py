"""Several runs as one Markdown table: ``python -m benchmarks.compare_runs runs/*``.

Beside each score as trained stands NLL and ECE after temperature scaling, cross-fitted: T is fitted on one half of the
validation rows (even positions) and judges the other, and the other way round, so that no row is judged by a T that saw it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from logitmix_hf.evaluation import Predictions, evaluate_predictions, fit_temperature
from logitmix_hf.reporting.folder import RunFolder

SHOWN = ("ece", "oe", "nll")


def cross_fitted(predictions: Predictions) -> tuple[Predictions, float]:
    """Predictions whose logits were divided by the temperature of the other half, and the mean of both T."""
    logits, labels = predictions.logits.astype(float), predictions.labels
    assert labels is not None
    even = np.arange(len(logits)) % 2 == 0
    scaled, temperatures = np.empty_like(logits), []
    for fitted, judged in ((even, ~even), (~even, even)):
        temperature = fit_temperature(logits[fitted], labels[fitted]).value
        scaled[judged] = logits[judged] / temperature
        temperatures.append(temperature)
    return replace(predictions, logits=scaled), mean(temperatures)


def row(folder: Path) -> tuple[tuple[str, str], dict[str, float]]:
    """What one run is called, and its numbers."""
    run = RunFolder(folder)
    record, results = run.read_json("run.json"), run.read_json("eval_results.json")
    headline = record["data"]["metrics"][0]
    split = record["data"]["splits"]["eval"]["split"]
    predictions = Predictions.load(run.predictions_path(split))
    values = {headline: results[f"eval_{headline}"], **{name: results[f"eval_{name}"] for name in SHOWN}}
    scaled, temperature = cross_fitted(predictions)
    after = evaluate_predictions(scaled)
    values |= {"T": temperature, "ECE at T": after["ece"], "NLL at T": after["nll"], "seconds": record["seconds"]}
    return (record["data"]["name"], called(record)), values


def called(record: dict[str, Any]) -> str:
    """The method of a run with what sets it apart: of text the site, of images the mixer and a site but the pixels."""
    method = record["method"]
    words = [method["name"], method["site"]]
    if record.get("model", {}).get("pipeline_tag") == "image-classification":
        mixer = method["mixer"] if method["site"] and method["mixer"] != method["name"] else None
        words = [method["name"], mixer, None if method["site"] == "input" else method["site"]]
    return " ".join(word for word in words if word)


def table(folders: list[Path]) -> str:
    """Means over the seeds of each data set and method, with half the range where there are several."""
    grouped: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for folder in folders:
        name, values = row(folder)
        grouped[name].append(values)
    names = list(next(iter(grouped.values()))[0])
    lines = [f"| data | method | runs | {' | '.join(names)} |", f"|---|---|---|{'---|' * len(names)}"]
    for (data, method), runs in grouped.items():
        cells = []
        for name in names:
            found = [run[name] for run in runs]
            form = "{:.0f}" if name == "seconds" else "{:.3f}"
            spread = f" ± {form.format((max(found) - min(found)) / 2)}" if len(found) > 1 else ""
            cells.append(form.format(mean(found)) + spread)
        lines.append(f"| {data} | {method} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([Path(name) for name in sys.argv[1:]]))
