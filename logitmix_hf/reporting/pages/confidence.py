"""Pictures of confidence: reliability with counts and intervals, histograms, ECE before and after, coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any

import numpy as np

from logitmix_hf.evaluation import Predictions, bin_intervals, bin_predictions, coverage_curve, ece
from logitmix_hf.reporting.comparison.scores import AFTER, Options, Scored, ScoredVariant
from logitmix_hf.reporting.pages.drawing import (
    BLUE,
    FILL,
    GREEN,
    GREY,
    INK,
    LEGEND,
    LINES,
    MUTED,
    VERMILION,
    Picture,
    axis,
    label,
    picture,
    rounded,
)

POINTS = 200
"""Of a curve: more cannot be seen."""

FINE = 25
"""Bins of a histogram."""


def reliability(predictions: Predictions, options: Options, what: str) -> Picture:
    """Accuracy against confidence with the interval of each bin, and below how many decisions each bin holds."""
    import plotly.graph_objects as go

    bins = bin_predictions(predictions, options.bins)
    low, high = bin_intervals(bins, options.level)
    full = bins.count > 0
    start = _least(predictions, bins.edges)
    middle, width = ((bins.edges[:-1] + bins.edges[1:]) / 2)[full], (np.diff(bins.edges) * 0.92)[full]
    accuracy, confidence, count = bins.accuracy[full], bins.confidence[full], bins.count[full]
    hover = [
        f"confidence {first:.2f} to {last:.2f}, mean {mean:.3f}<br>accuracy {right:.3f} [{least:.3f}, {most:.3f}]<br>"
        f"{number:,} decisions"
        for first, last, mean, right, least, most, number in zip(
            bins.edges[:-1][full], bins.edges[1:][full], confidence, accuracy, low[full], high[full], count, strict=True
        )
    ]
    traces: list[Any] = [
        go.Bar(x=rounded(middle), y=rounded(accuracy), width=rounded(width), marker={"color": FILL}, hoverinfo="skip")
    ]
    for sign, colour, shape in ((1, VERMILION, "/"), (-1, GREEN, ".")):
        some = sign * (confidence - accuracy) > 0
        traces.append(
            go.Bar(
                x=rounded(middle[some]),
                y=rounded(np.abs(confidence - accuracy)[some]),
                base=rounded(np.minimum(confidence, accuracy)[some]),
                width=rounded(width[some]),
                marker={
                    "color": "rgba(0,0,0,0)",
                    "pattern": {"shape": shape, "fgcolor": colour, "size": 5, "solidity": 0.45},
                    "line": {"color": colour, "width": 1},
                },
                hoverinfo="skip",
            )
        )
    traces += [
        go.Scatter(
            x=[start, 1], y=[start, 1], mode="lines", line={"color": INK, "dash": "dash", "width": 1}, hoverinfo="skip"
        ),
        go.Scatter(
            x=rounded(middle),
            y=rounded(accuracy),
            mode="markers",
            marker={"color": BLUE, "size": 7, "symbol": "square"},
            error_y={
                "array": rounded(high[full] - accuracy),
                "arrayminus": rounded(accuracy - low[full]),
                "color": BLUE,
                "thickness": 1.4,
                "width": 3,
            },
            hovertext=hover,
            hoverinfo="text",
        ),
        go.Bar(
            x=rounded(middle),
            y=count.tolist(),
            width=rounded(width),
            marker={"color": GREY},
            text=[_short(int(number)) for number in count],
            textposition="outside",
            textfont={"size": 9, "color": MUTED},
            textangle=0,
            constraintext="none",
            cliponaxis=False,
            hovertext=hover,
            hoverinfo="text",
            yaxis="y2",
        ),
    ]
    layout = {
        "barmode": "overlay",
        "showlegend": False,
        "xaxis": axis("confidence", start, 1.004, dtick=_tick(start), anchor="y2"),
        "yaxis": axis("accuracy", 0, 1.02, dtick=0.2, domain=[0.36, 1], automargin=False),
        "yaxis2": axis("decisions", 0, 1.28 * float(count.max()), domain=[0, 0.24], nticks=3, automargin=False),
        "hoverdistance": -1,
    }
    return picture(
        traces, layout, 360, f"Reliability, {what}: ECE {ece(bins):.3f}, {int(bins.count.sum()):,} decisions"
    )


def confidence_histogram(run: Scored, options: Options) -> Picture:
    """How often the model was how sure, the right and the wrong decisions stacked; the outline is after temperature."""
    import plotly.graph_objects as go

    start = _least(run.side(False), np.arange(options.bins + 1) / options.bins)
    edges = np.linspace(start, 1, FINE + 1)
    sure, right = run.side(False).confidence()
    parts = [("wrong", ~right, VERMILION, "/", 2), ("right", right, BLUE, "", 1)]
    counts = {name: np.histogram(sure[some], edges)[0] for name, some, *_ in parts}
    spans = [f"confidence {low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
    traces: list[Any] = [
        go.Bar(
            x=rounded((edges[:-1] + edges[1:]) / 2),
            y=counts[name].tolist(),
            width=round(0.92 * (1 - start) / FINE, 5),
            name=name,
            legendrank=rank,
            marker={
                "color": colour,
                "pattern": {"shape": shape, "size": 5, "solidity": 0.3, "fgcolor": "var(--paper)", "bgcolor": colour},
            },
            hovertext=[f"{span}<br>{number:,} {name}" for span, number in zip(spans, counts[name], strict=True)],
            hoverinfo="text",
        )
        for name, _, colour, shape, rank in parts
    ]
    if run.tempered is not None:
        after = np.histogram(run.tempered.after.confidence()[0], edges)[0]
        traces.append(
            go.Scatter(
                x=rounded(np.repeat(edges, 2)[1:-1]),
                y=np.repeat(after, 2).tolist(),
                mode="lines",
                name="all, after temperature",
                legendrank=3,
                line={"color": INK, "width": 1.4},
                hoverinfo="skip",
            )
        )
    layout = {
        "barmode": "stack",
        "legend": {**LEGEND, "traceorder": "normal"},
        "xaxis": axis("confidence", start, 1.004, dtick=_tick(start)),
        "yaxis": axis("decisions", nticks=6, rangemode="tozero", automargin=False),
        "hoverdistance": -1,
    }
    words = f"Histogram of confidence: mean {sure.mean():.3f}, accuracy {right.mean():.3f}, {len(sure):,} decisions"
    return picture(traces, layout, 360, words)


def _short(number: int) -> str:
    """A count that fits over a narrow bar; the whole number is under the mouse."""
    return str(number) if number < 1000 else f"{number / 1000:.1f}k" if number < 9950 else f"{number / 1000:.0f}k"


def _least(predictions: Predictions, edges: np.ndarray) -> float:
    """Where an axis of confidence begins: the edge below 1 / C, the least that the largest of C probabilities can be."""
    classes = predictions.decisions()[0].shape[1]
    return float(edges[np.searchsorted(edges, 1 / classes) - 1]) if classes <= 4 else 0.0


def _tick(start: float) -> float:
    return 0.1 if start > 0.3 else 0.2


def before_and_after(methods: Sequence[ScoredVariant]) -> Picture:
    """The ECE of every method as trained and after temperature; small dots are the single runs."""
    import plotly.graph_objects as go

    names = [label(method.label, 34) for method in methods]
    places = list(range(len(methods)))
    sides = (("", "as trained", VERMILION, "circle"), (AFTER, "after temperature", BLUE, "diamond"))
    traces: list[Any] = [
        go.Scatter(
            x=[
                value
                for method in methods
                for value in (*rounded([method.mean("ece"), method.mean(f"ece{AFTER}")]), None)
            ],
            y=[place for place in places for place in (place, place, None)],
            mode="lines",
            line={"color": GREY, "width": 3},
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    for ending, name, colour, symbol in sides:
        traces.append(
            go.Scatter(
                x=[round(run.values[f"ece{ending}"], 5) for method in methods for run in method.runs],
                y=[place for place, method in zip(places, methods, strict=True) for _ in method.runs],
                mode="markers",
                marker={"color": colour, "size": 5, "symbol": symbol, "opacity": 0.55},
                hovertext=[
                    f"{label(run.name)}<br>ECE {name}: {_with_interval(run, f'ece{ending}')}"
                    for method in methods
                    for run in method.runs
                ],
                hoverinfo="text",
                showlegend=False,
            )
        )
        traces.append(
            go.Scatter(
                x=rounded([method.mean(f"ece{ending}") for method in methods]),
                y=places,
                mode="markers",
                name=name,
                marker={"color": colour, "size": 11, "symbol": symbol},
                hovertext=[
                    f"{label(method.label)}<br>ECE {name}: {_mean(method, f'ece{ending}')}" for method in methods
                ],
                hoverinfo="text",
            )
        )
    layout = {
        "xaxis": axis("ECE, 0 is best", rangemode="tozero", nticks=6),
        "yaxis": axis("", len(methods) - 0.5, -0.5, tickvals=places, ticktext=names, showgrid=False),
        "margin": {"l": 10, "r": 14, "t": 10, "b": 40},
    }
    return picture(traces, layout, 110 + 34 * len(methods), "ECE of every method as trained and after temperature")


def _with_interval(run: Scored, key: str) -> str:
    interval = run.intervals.get(key)
    return f"{run.values[key]:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _mean(method: ScoredVariant, key: str) -> str:
    spread = method.spread(key)
    return f"{method.mean(key):.4f}" + (f" ± {spread:.4f}" if spread is not None else "")


def coverage(methods: Sequence[ScoredVariant]) -> Picture:
    """Accuracy among the decisions that each method is surest of; the mean over its runs."""
    import plotly.graph_objects as go

    traces, lowest = [], 1.0
    for method, style in zip(methods, cycle(LINES), strict=False):
        curves = [coverage_curve(run.member.predictions) for run in method.runs]
        number = len(curves[0].coverage)
        points = np.unique(np.linspace(max(0, number // 20 - 1), number - 1, POINTS).astype(int))
        accuracy = np.mean([curve.accuracy for curve in curves], axis=0)[points]
        lowest = min(lowest, float(accuracy.min()))
        traces.append(
            go.Scatter(
                x=rounded(curves[0].coverage[points], 4),
                y=rounded(accuracy, 4),
                mode="lines",
                name=label(method.label, 34),
                line={**style, "width": 2},
                hovertemplate="%{fullData.name}<br>surest %{x:.0%}: accuracy %{y:.3f}<extra></extra>",
            )
        )
    layout = {
        "xaxis": axis("share answered, the surest first", 0, 1, tickformat=".0%", dtick=0.2),
        "yaxis": axis("accuracy", max(0.0, math.floor(20 * lowest - 0.2) / 20), 1.005, nticks=7),
        "legend": {**LEGEND, "y": -0.2, "yanchor": "top"},
        "margin": {"l": 52, "r": 26, "t": 10, "b": 10},
    }
    words = "Accuracy against the share of decisions that is answered, the surest first"
    return picture(traces, layout, 320 + 20 * math.ceil(len(methods) / 3), words, len(methods))
