"""From predictions to what a run leaves of them: parquet, numbers, their intervals, picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logitmix_hf.evaluation import REGRESSION, Interval, Predictions, bootstrap, review
from logitmix_hf.evaluation.class_scores import balance, baseline, class_scores
from logitmix_hf.evaluation.members import member_scores
from logitmix_hf.evaluation.refinement import refinement
from logitmix_hf.reporting.confusion import FILE as CONFUSION
from logitmix_hf.reporting.confusion import confusion_plot
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.plots import reliability_plot

RESULTS, TESTED = "eval_results.json", "test_results.json"
"""Scores by which something may have been chosen, and those by which nothing was."""
INTERVALS = "intervals.json"
LEVEL = 0.95
"""The level of confidence of the intervals in a run folder."""
RANKED = ("aurc", "accuracy_at_80")
"""Scores that ask which rows of a split are the surest."""


def write_results(
    folder: RunFolder,
    splits: Mapping[str, tuple[str, Predictions]],
    metrics: Sequence[str],
    *,
    bins: int = 15,
    resamples: int = 1000,
    uncalibrated: Mapping[str, Predictions] | None = None,
    same_answers: bool = True,
    ranked: Mapping[str, Predictions] | None = None,
    timings: Mapping[str, float] | None = None,
    title: str = "",
) -> dict[str, Any]:
    """Write ``predictions/<name>.parquet`` of each split, ``eval_results.json`` and, of the prefixes that begin with
    ``test``, ``test_results.json``; ``intervals.json``, ``reliability.png``.

    Args:
        splits: prefix of the keys (``eval``, ``eval_mm``, ``test``) to the name of the split's file and its predictions;
            the first one is drawn.
        metrics: the task's scores, headline first.
        bins: of every measure that has bins.
        resamples: of the bootstrap; 0 writes no intervals.
        uncalibrated: prefix to the same predictions before a temperature was applied: judged too, without the task's
            scores, as ``<prefix>_uncalibrated_<score>``.
        same_answers: whether that left every answer what it was; else the task's scores before are told too.
        ranked: prefix to predictions that ``RANKED`` is read from in place of those in ``splits``, where each row there
            has one of two temperatures, and so the surest rows would be those of the half with the lower one.
        timings: further numbers for the file, with their full keys.
        title: of the picture.

    Returns:
        The content of both files. Every score but ``ranked`` ones is computed from what the parquet file
        holds, so that the file alone suffices to compute it again.
    """
    results: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    drawn = False
    for prefix, (name, predictions) in splits.items():
        path = folder.predictions_path(name)
        predictions.save(path)
        read_back = Predictions.load(path)
        scores, intervals[prefix] = judged(read_back, metrics, bins, resamples)
        if ranked and prefix in ranked:
            other, ends = judged(ranked[prefix], metrics, bins, resamples)
            scores |= {name: other[name] for name in RANKED}
            intervals[prefix] |= {name: ends[name] for name in RANKED if name in ends}
        scores |= refinement(read_back) | member_scores(read_back)
        results |= {f"{prefix}_{key}": value for key, value in scores.items()}
        if uncalibrated and prefix in uncalibrated:
            scores, ends = judged(uncalibrated[prefix], metrics, bins, resamples)
            before = f"{prefix}_uncalibrated"
            left_out = metrics if same_answers else ()
            results |= {f"{before}_{key}": value for key, value in scores.items() if key not in left_out}
            intervals[before] = {key: value for key, value in ends.items() if key not in left_out}
        results |= {f"{prefix}_{key}": value for key, value in _by_class(read_back, metrics, bins).items()}
        results[f"{prefix}_samples"] = len(read_back.logits)
        if not drawn and predictions.problem != REGRESSION:
            reliability_plot(read_back, folder.path / "reliability.png", title=title, bins=bins)
            found = class_scores(read_back, bins)
            if found is None or not confusion_plot(found, folder.path / CONFUSION, title):
                (folder.path / CONFUSION).unlink(missing_ok=True)
            drawn = True
    results |= dict(timings or {})
    tests = {key: value for key, value in results.items() if key.startswith("test_")}
    if len(tests) < len(results):
        folder.write_json(RESULTS, {key: value for key, value in results.items() if key not in tests})
    if tests:
        folder.write_json(TESTED, tests)
    if resamples:
        folder.write_json(INTERVALS, {"level": LEVEL, "resamples": resamples, "seed": 0, **intervals})
    else:
        (folder.path / INTERVALS).unlink(missing_ok=True)  # those of an earlier judging are not of these numbers
    return results


def _by_class(p: Predictions, metrics: Sequence[str], bins: int) -> dict[str, Any]:
    """``f1_macro``, ``balanced_accuracy``; ``baseline_<score>``; ``per_class`` and ``confusion_matrix``, as far as a split has
    labels and rows, and the problem has them."""
    if p.labels is None or not len(p):
        return {}
    none = baseline(p, metrics)
    found = class_scores(p, bins)
    by_class = {} if found is None else found.as_json()
    return {**balance(p), **{f"baseline_{key}": value for key, value in none.items()}, **by_class}


def read_results(folder: RunFolder) -> dict[str, Any]:
    """The content of ``eval_results.json``, and of ``test_results.json`` where there is one.

    Raises:
        UserError: there is neither, or one cannot be read.
    """
    names = [name for name in (RESULTS, TESTED) if (folder.path / name).is_file()] or [RESULTS]
    return {key: value for name in names for key, value in folder.read_json(name).items()}


def judged(
    p: Predictions, metrics: Sequence[str], bins: int, resamples: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """All scores of a split by name, and for each the ends [low, high] of its interval; none with 0 resamples.

    The resamples are the same in every run (seed 0), so that runs differ by their models alone.
    """
    if not resamples:
        return review(p, metrics, bins), {}
    found: dict[str, Interval] = bootstrap(p, metrics, bins, resamples, seed=0, level=LEVEL)
    return {name: each.value for name, each in found.items()}, {
        name: [each.low, each.high] for name, each in found.items()
    }
