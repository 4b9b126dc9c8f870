"""From predictions to what a run leaves of them: parquet, numbers, picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logitmix_hf.evaluation import REGRESSION, Predictions, evaluate_predictions
from logitmix_hf.reporting.folder import RunFolder


def write_results(
    folder: RunFolder,
    splits: Mapping[str, tuple[str, Predictions]],
    metrics: Sequence[str],
    *,
    bins: int = 15,
    timings: Mapping[str, float] | None = None,
    title: str = "",
) -> dict[str, Any]:
    """Write ``predictions/<name>.parquet`` of each split, ``eval_results.json`` and ``reliability.png``.

    Args:
        splits: prefix of the keys (``eval``, ``eval_mm``) to the name of the split's file and its predictions; the
            first one is drawn.
        metrics: the task's scores, headline first.
        bins: of ECE and OE.
        timings: further numbers for the file, with their full keys.
        title: of the picture.

    Returns:
        The content of ``eval_results.json``. Every score is computed from what the parquet file holds, so that the
        file alone suffices to compute it again.
    """
    from logitmix_hf.reporting.plots import reliability_plot

    results: dict[str, Any] = {}
    drawn = False
    for prefix, (name, predictions) in splits.items():
        path = folder.predictions_path(name)
        predictions.save(path)
        read_back = Predictions.load(path)
        scores = evaluate_predictions(read_back, metrics, bins)
        results |= {f"{prefix}_{key}": value for key, value in scores.items()}
        results[f"{prefix}_samples"] = len(read_back.logits)
        if not drawn and predictions.problem != REGRESSION:
            reliability_plot(read_back, folder.path / "reliability.png", title=title, bins=bins)
            drawn = True
    results |= dict(timings or {})
    folder.write_json("eval_results.json", results)
    return results
