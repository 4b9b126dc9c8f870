"""Pictures of a run: is the confidence believed, how did training go. Colours are Okabe and Ito's, safe for the
colour-blind; nothing of pyplot's global state is touched."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import calibration
from logitmix_hf.evaluation.calibration import Bins
from logitmix_hf.evaluation.predictions import MULTI, Predictions
from logitmix_hf.evaluation.scores import bin_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe, Ito: Color Universal Design (2008).
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
GREY, INK = "#6E6E6E", "#222222"

_GAPS = {1: (VERMILION, "////"), -1: (GREEN, "....")}  # sign of confidence minus accuracy

_STYLE: Any = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.labelsize": 13,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": 11,
    "legend.frameon": False,
}


def reliability_plot(
    source: Predictions | Bins, path: str | os.PathLike[str], title: str = "Reliability", bins: int = 15
) -> None:
    """Draw accuracy against confidence, how many decisions fell in each bin, and n, ECE and OE, as a PNG.

    Blue lines are the accuracy of each bin; the hatched part reaches from there to its mean confidence: above it where
    the model claims more than it achieves, below it where it claims less. Where the posterior of the data is known,
    diamonds show the mean true probability of the predicted class in each bin.

    Raises:
        UserError: for a regression, or without labels or rows.
    """
    compare_reliability({title: source}, path, bins)


def compare_reliability(
    sources: Mapping[str, Predictions | Bins],
    path: str | os.PathLike[str],
    bins: int = 15,
    title: str | None = None,
) -> None:
    """Set one to four reliability plots side by side on the same axes, as a PNG; see ``reliability_plot``.

    Raises:
        UserError: for none or more than four, for a regression, or without labels or rows.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    count = len(sources)
    if not 1 <= count <= 4:
        raise UserError(f"A picture sets one to four reliability plots side by side, got {count}.")
    counted = {name: _bins(source, bins) for name, source in sources.items()}
    # With as many rows in each, counts compare; otherwise only shares do.
    same = len({int(b.count.sum()) for b in counted.values()}) == 1
    several = any(isinstance(source, Predictions) and source.problem == MULTI for source in sources.values())
    unit = "decisions" if several else "examples"
    truths = {name: _true_rate(source, counted[name]) for name, source in sources.items()}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(0.8 + 5.0 * count if count > 1 else 6.4, 7.4), dpi=150)
        figure.set_layout_engine("constrained", wspace=0.06)
        axes = figure.subplots(
            2, count, squeeze=False, sharex=True, sharey="row", gridspec_kw={"height_ratios": [3.6, 1]}
        )
        for column, (name, b) in enumerate(counted.items()):
            _draw_reliability(axes[0, column], b, truths[name])
            _draw_counts(axes[1, column], b, b.count if same else b.share)
            axes[0, column].set_title(_wrapped(name), fontweight="bold")
            axes[1, column].set_xlabel("confidence")
        axes[0, 0].set_ylabel("accuracy")
        axes[1, 0].set_ylabel(unit if same else f"share of\n{unit}")
        figure.align_ylabels(axes[:, 0])
        entries = _legend(any(truth is not None for truth in truths.values()))
        columns = 2 * count if count < 3 else len(entries)
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, columnspacing=1.5)
        if title:
            figure.suptitle(title, fontweight="bold")
        _save(figure, path)


def training_plot(
    log_history: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], metric: str | None = None
) -> None:
    """Draw the loss and its terms, and below them the evaluation score, over training steps, as a PNG.

    Args:
        log_history: ``trainer.state.log_history``: dicts with ``step`` and ``loss``, ``loss_mix``, ``loss_cls``,
            ``loss_sim``, ``eval_…``.
        path: of the PNG.
        metric: the headline score, with or without ``eval_``; by default the first known one in the log. ECE is drawn
            beside it where it was logged.

    A history without any of these gives a picture that says so.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    metric = _headline(log_history, metric)
    drawn = [
        (key, label, colour, style)
        for key, label, colour, style in (
            ("loss", "loss (weighted sum)", INK, "-"),
            ("loss_mix", "mixed rows", VERMILION, "-"),
            ("loss_cls", "clean rows", BLUE, "--"),
            ("loss_sim", "similarity", GREEN, "-."),
        )
        if _series(log_history, key)[0]
    ]
    if len(drawn) == 2 and drawn[0][0] == "loss":  # one term: its curve and the sum's are one
        drawn = drawn[:1]
    panels = [bool(drawn), metric is not None]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.5, 3.6 * max(sum(panels), 1)), dpi=150, layout="constrained")
        axes = list(figure.subplots(max(sum(panels), 1), 1, squeeze=False, sharex=True)[:, 0])
        if not any(panels):
            axes[0].text(0.5, 0.5, "nothing was logged", ha="center", va="center", transform=axes[0].transAxes)
            axes[0].set_axis_off()
            return _save(figure, path)
        axes[-1].set_xlabel("optimiser step")
        if drawn:
            upper = axes.pop(0)
            for key, label, colour, style in drawn:
                steps, values = _series(log_history, key)
                upper.plot(steps, values, style, color=colour, label=label, lw=2, marker="o", ms=_dot(steps))
            upper.set_ylabel("loss")
            upper.set_ylim(bottom=0)
            _finish(upper)
        if metric is not None:
            lower = axes.pop(0)
            chosen = [metric] + ["eval_ece"] * bool(_series(log_history, "eval_ece")[0] and metric != "eval_ece")
            for key, colour, marker in zip(chosen, (BLUE, VERMILION), ("o", "s"), strict=False):
                steps, values = _series(log_history, key)
                lower.plot(steps, values, color=colour, marker=marker, ms=7, lw=2, label=_metric_name(key))
                lower.annotate(
                    f"{values[-1]:.3f}", (steps[-1], values[-1]), (8, 0), textcoords="offset points", va="center"
                )
            lower.set_ylabel("evaluation")
            lower.margins(x=0.09, y=0.15)
            _finish(lower)
        _save(figure, path)


def _bins(source: Predictions | Bins, bins: int) -> Bins:
    return source if isinstance(source, Bins) else bin_predictions(source, bins)


def _true_rate(source: Predictions | Bins, counted: Bins) -> np.ndarray | None:
    """(M,) the mean true probability of the predicted class in each bin, NaN where empty; None where unknown."""
    if isinstance(source, Bins) or source.posterior is None or source.problem == MULTI:
        return None
    rows, predicted = np.arange(len(source)), source.predictions
    index = np.searchsorted(counted.edges, source.probabilities.max(axis=1), side="left") - 1
    weights = source.posterior[rows, predicted]
    total = np.bincount(np.clip(index, 0, len(counted.count) - 1), weights=weights, minlength=len(counted.count))
    return np.divide(total, counted.count, out=np.full(len(total), np.nan), where=counted.count > 0)


def _draw_reliability(axes: Axes, b: Bins, true_rate: np.ndarray | None) -> None:
    full = b.count > 0
    middle, width = (b.edges[:-1] + b.edges[1:]) / 2, np.diff(b.edges) * 0.94
    lower = np.fmin(b.accuracy, b.confidence)
    axes.bar(middle[full], lower[full], width[full], color=SKY)
    for sign, (colour, hatch) in _GAPS.items():
        some = full & (sign * b.gap > 0)
        axes.bar(
            middle[some],
            np.abs(b.gap)[some],
            width[some],
            lower[some],
            facecolor=(*_rgb(colour), 0.25),
            edgecolor=(*_rgb(colour), 0.8),
            hatch=hatch,
            lw=0,
        )
    axes.hlines(b.accuracy[full], (middle - width / 2)[full], (middle + width / 2)[full], color=BLUE, lw=4)
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1.6)
    if true_rate is not None:
        axes.plot(middle, true_rate, "D", color=INK, mfc=ORANGE, ms=7, zorder=4, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    lines = (f"ECE {calibration.ece(b):.3f}", f"OE  {calibration.oe(b):.3f}", f"n   {int(b.count.sum()):,}")
    axes.text(
        0.04,
        0.96,
        "\n".join(lines),
        transform=axes.transAxes,
        va="top",
        fontsize=14,
        family="monospace",
        linespacing=1.35,
        bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": GREY, "alpha": 0.92},
        zorder=5,
    )


def _draw_counts(axes: Axes, b: Bins, heights: np.ndarray) -> None:
    axes.bar((b.edges[:-1] + b.edges[1:]) / 2, heights, np.diff(b.edges) * 0.94, color="#A8A8A8")
    confidence = float(np.sum(b.share * np.nan_to_num(b.confidence)))
    axes.axvline(confidence, color=VERMILION, lw=2.4)
    axes.axvline(confidence - calibration.confidence_gap(b), color=BLUE, lw=2.4, ls=(0, (3, 1.5)))


def _legend(with_truth: bool) -> dict[str, Any]:
    # Made by hand: a bar that happens to be absent from one picture must not lose its entry.
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    (over, over_hatch), (under, under_hatch) = _GAPS[1], _GAPS[-1]
    entries: dict[str, Any] = {
        "accuracy in the bin": Line2D([], [], color=BLUE, lw=4),
        "perfect": Line2D([], [], color=INK, ls="--", lw=1.6),
        "over-confident": Patch(facecolor=(*_rgb(over), 0.25), edgecolor=over, hatch=over_hatch, lw=0),
        "under-confident": Patch(facecolor=(*_rgb(under), 0.25), edgecolor=under, hatch=under_hatch, lw=0),
        "mean confidence": Line2D([], [], color=VERMILION, lw=2.4),
        "accuracy of all": Line2D([], [], color=BLUE, lw=2.4, ls=(0, (3, 1.5))),
    }
    if with_truth:
        entries["true probability"] = Line2D([], [], color=INK, marker="D", mfc=ORANGE, ms=7, ls="")
    return entries


def _series(log_history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    points = [(entry.get("step"), entry.get(key)) for entry in log_history]
    numbers = [(float(x), float(y)) for x, y in points if x is not None and isinstance(y, (int, float))]
    finite = [(x, y) for x, y in numbers if np.isfinite(y)]
    return [x for x, _ in finite], [y for _, y in finite]


_HEADLINES = ("accuracy", "f1", "f1_micro", "matthews_correlation", "pearson", "spearmanr", "mse", "loss")


def _headline(log_history: Sequence[Mapping[str, Any]], metric: str | None) -> str | None:
    names = [metric.removeprefix("eval_")] if metric else list(_HEADLINES)
    return next((f"eval_{name}" for name in names if _series(log_history, f"eval_{name}")[0]), None)


def _metric_name(key: str) -> str:
    name = key.removeprefix("eval_")
    return "ECE" if name == "ece" else name.replace("_", " ")


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", color="#DDDDDD", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="best")


def _dot(steps: Sequence[float]) -> float:
    return 5 if len(steps) < 12 else 0


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _wrapped(name: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(name, 44)) or " "


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", facecolor="white")
    write_atomic(Path(path), picture.getvalue())
