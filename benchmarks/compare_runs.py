"""Several runs as one Markdown table: ``python -m benchmarks.compare_runs runs/*``.

Beside each score as trained stands NLL and ECE after temperature scaling by halves: T is fitted on one half of the
validation rows and judges the other, both ways round, so that no row is judged by a T that saw it. ECE moves with the
halving, so these numbers are means over five (as in Ashukha et al. 2020); ``logitmix report`` takes the first of them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from logitmix_hf.evaluation import REGRESSION, Predictions, evaluate_predictions, fit_halves
from logitmix_hf.reporting.folder import RunFolder

SHOWN = ("ece", "oe", "nll")
HALVINGS = range(31, 36)
DETAILS = ("alpha", "w_sim", "mix_attention", "sim_detach", "sim_form")
"""What sets runs of one method apart beside their seeds."""


def row(folder: Path) -> dict[str, float]:
    """The numbers of one run."""
    run = RunFolder(folder)
    record, results = run.read_json("run.json"), run.read_json("eval_results.json")
    headline = record["data"]["metrics"][0]
    split = record["data"]["splits"]["eval"]["split"]
    predictions = Predictions.load(run.predictions_path(split))
    values = {headline: results[f"eval_{headline}"]}
    if predictions.problem == REGRESSION:
        return {name: results[f"eval_{name}"] for name in record["data"]["metrics"]} | {"seconds": record["seconds"]}
    values |= {name: results[f"eval_{name}"] for name in SHOWN}
    temperature, after = tempered(predictions)
    return values | {
        "T": temperature,
        "ECE at T": after["ece"],
        "NLL at T": after["nll"],
        "seconds": record["seconds"],
    }


def tempered(p: Predictions) -> tuple[float, dict[str, float]]:
    """T and the scores after it, each the mean over the halvings."""
    logits = p.logits.astype(float)
    found = [fit_halves(logits, p.labels, seed) for seed in HALVINGS]  # type: ignore[arg-type]
    scores = [evaluate_predictions(replace(p, logits=halves.apply(logits))) for halves in found]
    return mean(halves.value for halves in found), {name: mean(one[name] for one in scores) for name in scores[0]}


def called(record: dict[str, Any]) -> str:
    """The method of a run with what sets it apart: of text the site, of images the mixer and a site but the pixels."""
    method = record["method"]
    words = [method["name"], method["site"]]
    if record.get("model", {}).get("pipeline_tag") == "image-classification":
        mixer = method["mixer"] if method["site"] and method["mixer"] != method["name"] else None
        words = [method["name"], mixer, None if method["site"] == "input" else method["site"]]
    return " ".join(word for word in words if word)


def setting(record: dict[str, Any], name: str) -> str:
    """One of :data:`DETAILS` as it was in force, in words."""
    value = record["method"].get(name, record.get("arguments", {}).get(name))
    return f"{name} {value}"


def names_of(folders: list[Path]) -> dict[Path, tuple[str, str]]:
    """Data and method of each run, with those of :data:`DETAILS` in which runs of the same method differ."""
    records = {folder: RunFolder(folder).read_json("run.json") for folder in folders}
    alike: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for folder, record in records.items():
        alike[record["data"]["name"], called(record)].append(folder)
    names = {}
    for (data, method), group in alike.items():
        differ = [name for name in DETAILS if len({setting(records[folder], name) for folder in group}) > 1]
        for folder in group:
            names[folder] = data, " ".join([method, *(setting(records[folder], name) for name in differ)])
    return names


def table(folders: list[Path]) -> str:
    """Means over the seeds of each data set and method, with half the range where there are several."""
    names, grouped = names_of(folders), defaultdict(list)
    for folder in folders:
        grouped[names[folder]].append(row(folder))
    lines: list[str] = []
    shown: list[str] = []
    for (data, method), runs in grouped.items():
        if list(runs[0]) != shown:  # other data may have other scores
            shown = list(runs[0])
            lines += [*([""] if lines else []), f"| data | method | runs | {' | '.join(shown)} |"]
            lines.append(f"|---|---|---|{'---|' * len(shown)}")
        cells = []
        for name in shown:
            found = [run[name] for run in runs]
            form = "{:.0f}" if name == "seconds" else "{:.3f}"
            spread = f" ± {form.format((max(found) - min(found)) / 2)}" if len(found) > 1 else ""
            cells.append(form.format(mean(found)) + spread)
        lines.append(f"| {data} | {method} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:] if Path(name).is_dir()]  # runs/* also matches logs
    finished = [folder for folder in given if (folder / "eval_results.json").is_file()]
    for folder in given:
        if folder not in finished:
            print(f"{folder} has no results: left out.", file=sys.stderr)
    print(table(finished))
