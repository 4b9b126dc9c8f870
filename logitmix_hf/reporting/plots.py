"""Pictures of confidence: may it be believed, and how do several runs compare."""

from __future__ import annotations

import os
from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import calibration
from logitmix_hf.evaluation.calibration import Bins
from logitmix_hf.evaluation.intervals import bin_intervals
from logitmix_hf.evaluation.predictions import MULTI, Predictions
from logitmix_hf.evaluation.scores import bin_predictions
from logitmix_hf.reporting.style import BLUE, GREEN, GREY, INK, ORANGE, SKY, STYLE, VERMILION, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAPS = {1: (VERMILION, "////"), -1: (GREEN, "....")}  # sign of confidence minus accuracy


def reliability_plot(
    source: Predictions | Bins, path: str | os.PathLike[str], title: str = "Reliability", bins: int = 15
) -> None:
    """Draw accuracy against confidence, how many decisions fell in each bin, and n, ECE and OE, as a PNG.

    Blue lines are the accuracy of each bin, thin ones its 95 % interval (Wilson); the hatched part reaches from the accuracy
    to the mean confidence: above it where the model claims more than it achieves, below it where it claims less. The fewer
    rows a bin has, the narrower it is. Without confidences below .5, as of two classes, the axis begins there. Where the
    posterior of the data is known, diamonds show the mean true probability of the predicted class in each bin.

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
    """Set one to twelve reliability plots side by side on the same axes, as a PNG; see ``reliability_plot``.

    More than four stand in rows of three.

    Raises:
        UserError: for none or more than twelve, for a regression, or without labels or rows.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    count = len(sources)
    if not 1 <= count <= 12:
        raise UserError(f"A picture sets one to twelve reliability plots side by side, got {count}.")
    counted = {name: one if isinstance(one, Bins) else bin_predictions(one, bins) for name, one in sources.items()}
    # With as many rows in each, counts compare; otherwise only shares do.
    same = len({int(b.count.sum()) for b in counted.values()}) == 1
    several = any(isinstance(source, Predictions) and source.problem == MULTI for source in sources.values())
    unit = "decisions" if several else "examples"
    truths = {name: _true_rate(source, counted[name]) for name, source in sources.items()}
    with mpl.rc_context(STYLE):
        wide = count if count <= 4 else 3
        tall = -(-count // wide)
        figure = Figure(
            figsize=(0.8 + 5.0 * wide if count > 1 else 6.4, 0.6 + 6.8 * tall), dpi=150 if tall == 1 else 110
        )
        figure.set_layout_engine("constrained", wspace=0.06)
        heights = [3.6, 1] * tall
        axes = figure.subplots(
            2 * tall, wide, squeeze=False, sharex=True, sharey="row", gridspec_kw={"height_ratios": heights}
        )
        begin = min(_begin(b) for b in counted.values())
        for place, (name, b) in enumerate(counted.items()):
            row, column = 2 * (place // wide), place % wide
            _draw_reliability(axes[row, column], b, truths[name])
            _draw_counts(axes[row + 1, column], b, b.count if same else b.share)
            axes[row, column].set(xlim=(begin, 1), ylim=(0, 1))
            axes[row, column].set_xticks(np.linspace(0, 1, 6) if begin == 0 else np.linspace(0.5, 1, 6))
            axes[row, column].set_title("\n".join(wrap(name, 44)) or " ", fontweight="bold", parse_math=False)
            axes[row + 1, column].set_xlabel("confidence")
        for row in range(0, 2 * tall, 2):
            axes[row, 0].set_ylabel("accuracy")
            axes[row + 1, 0].set_ylabel(unit if same else f"share of\n{unit}")
        for place in range(count, wide * tall):
            for row in (2 * (place // wide), 2 * (place // wide) + 1):
                axes[row, place % wide].set_axis_off()
        figure.align_ylabels(axes[:, 0])
        entries = _legend(any(truth is not None for truth in truths.values()))
        columns = 2 * wide if wide < 3 else len(entries)
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, columnspacing=1.5)
        if title:
            figure.suptitle(title, fontweight="bold", parse_math=False)
        save_figure(figure, path)


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
    # A bin that holds one row in a thousand is no pillar: a width as the root of the share keeps it visible all the same.
    middle, width = (
        (b.edges[:-1] + b.edges[1:]) / 2,
        np.diff(b.edges) * np.maximum(np.sqrt(b.count / b.count.max()), 0.1),
    )
    width *= 0.94
    lower = np.fmin(b.accuracy, b.confidence)
    axes.bar(middle[full], lower[full], width[full], color=SKY)
    for sign, (colour, hatch) in _GAPS.items():
        some = full & (sign * b.gap > 0)
        axes.bar(
            middle[some],
            np.abs(b.gap)[some],
            width[some],
            lower[some],
            facecolor=(colour, 0.25),
            edgecolor=(colour, 0.8),
            hatch=hatch,
            lw=0,
        )
    low, high = bin_intervals(b)
    axes.vlines(middle[full], low[full], high[full], color=BLUE, lw=1.4, zorder=3)
    axes.hlines(b.accuracy[full], (middle - width / 2)[full], (middle + width / 2)[full], color=BLUE, lw=4)
    axes.plot([0, 1], [0, 1], "--", color=INK, lw=1.6)
    if true_rate is not None:
        axes.plot(middle, true_rate, "D", color=INK, mfc=ORANGE, ms=7, zorder=4, clip_on=False)
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


def _begin(b: Bins) -> float:
    """Where the axis of confidence begins: 0, or the lower edge of the bin of .5 where no bin before it has rows."""
    first = int(np.searchsorted(b.edges, 0.5, side="left")) - 1
    return 0.0 if b.count[: max(first, 0)].any() else float(b.edges[first])


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
        "its 95 % interval": Line2D([], [], color=BLUE, lw=1.4),
        "perfect": Line2D([], [], color=INK, ls="--", lw=1.6),
        "over-confident": Patch(facecolor=(over, 0.25), edgecolor=over, hatch=over_hatch, lw=0),
        "under-confident": Patch(facecolor=(under, 0.25), edgecolor=under, hatch=under_hatch, lw=0),
        "mean confidence": Line2D([], [], color=VERMILION, lw=2.4),
        "accuracy of all": Line2D([], [], color=BLUE, lw=2.4, ls=(0, (3, 1.5))),
    }
    if with_truth:
        entries["true probability"] = Line2D([], [], color=INK, marker="D", mfc=ORANGE, ms=7, ls="")
    return entries
