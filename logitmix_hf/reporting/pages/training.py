"""The picture of a training: the loss, its terms, and the score where it was logged, over optimiser steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from logitmix_hf.reporting.comparison.scores import Scored
from logitmix_hf.reporting.numbers import curve_of
from logitmix_hf.reporting.pages.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    Picture,
    axis,
    label,
    picture,
    rounded,
)

_TERMS = (
    ("loss", "sum", INK, "solid"),
    ("loss_mix", "mixed", VERMILION, "solid"),
    ("loss_cls", "clean", BLUE, "dash"),
    ("loss_sim", "similarity", GREEN, "dashdot"),
    ("loss_agree", "agreement", ORANGE, "dot"),
)


def training(runs: Sequence[Scored], prefix: str, metric: str) -> Picture | None:
    """One method's training; the first run in full colour, other seeds behind it. None where nothing was logged."""
    import plotly.graph_objects as go

    histories = [(run, run.member.run.history) for run in runs]
    terms = [term for term in _TERMS if any(curve_of(history, term[0])[0] for _, history in histories)]
    if len(terms) == 2 and terms[0][0] == "loss":  # of one term the sum's curve is its own
        terms = terms[1:]
    scores = [
        (key, name, colour, dash)
        for key, name, colour, dash in (
            (f"{prefix}_{metric}", metric.replace("_", " "), PURPLE, "solid"),
            (f"{prefix}_ece", "ECE", PURPLE, "dot"),
        )
        if any(curve_of(history, key)[0] for _, history in histories)
    ]
    traces = []
    for panel, drawn in (("y", terms), ("y2", scores)):
        for key, name, colour, dash in drawn:
            for number, (run, history) in enumerate(histories):
                steps, values = curve_of(history, key)
                traces.append(
                    go.Scatter(
                        x=steps,
                        y=rounded(values),
                        mode="lines+markers" if len(steps) < 12 else "lines",
                        name=name,
                        legendgroup=key,
                        showlegend=number == 0,
                        opacity=1 if number == 0 else 0.4,
                        line={"color": colour, "dash": dash, "width": 2},
                        marker={"size": 5},
                        yaxis=panel,
                        meta=[label(run.name), name],
                        hovertemplate="%{meta[0]}<br>%{meta[1]}, step %{x:,}: %{y:.4f}<extra></extra>",
                    )
                )
    if not traces:
        return None
    both = bool(terms and scores)
    layout: dict[str, Any] = {"xaxis": axis("optimiser step", nticks=6, anchor="y2" if scores else "y")}
    if terms:
        layout["yaxis"] = axis("loss", rangemode="tozero", nticks=6, domain=[0.42, 1] if both else [0, 1])
    if scores:
        layout["yaxis2"] = axis("score", nticks=4, domain=[0, 0.34] if both else [0, 1])
    last = {name: values[-1] for key, name, _, _ in (*terms, *scores) if (values := curve_of(histories[0][1], key)[1])}
    ends = ", ".join(f"{name} {value:.3f}" for name, value in last.items())
    return picture(traces, layout, 400 if both else 300, f"Training curves; at the end {ends}")
