"""The pictures of a study's page: differences with their intervals, and mean ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from logitmix_hf.reporting.pages.drawing import BLUE, GREY, INK, LINES, RULE, VERMILION, Picture, axis, label, picture
from logitmix_hf.studies.tables import told
from logitmix_hf.studies.verdicts import Finding, Overall


def forest(findings: Sequence[Finding], name: str) -> Picture | None:
    """One line a method and task: the difference from the baseline and its interval; None where there is nothing."""
    shown = [each for each in findings if math.isfinite(each.found.low)]
    if not shown:
        return None
    tasks = list(dict.fromkeys(each.task for each in shown))
    names = [
        f"{label(each.method, 24)} · {label(each.task, 24)}" if len(tasks) > 1 else label(each.method, 32)
        for each in shown
    ]
    traces = []
    kinds = {"bold": BLUE, "interval off 0": VERMILION, "not told from 0": GREY}
    for kind, colour in kinds.items():
        own = [index for index, each in enumerate(shown) if _kind(each) == kind]
        if own:
            d = [shown[index].found for index in own]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": kind,
                    "x": [each.value for each in d],
                    "y": own,
                    "error_x": {
                        "type": "data",
                        "symmetric": False,
                        "array": [each.high - each.value for each in d],
                        "arrayminus": [each.value - each.low for each in d],
                        "color": colour,
                        "thickness": 1.5,
                        "width": 4,
                    },
                    "marker": {"color": colour, "size": 9},
                    "text": [label(told(shown[index]), 300).replace(": ", "<br>", 1) for index in own],
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
    ticks = {"tickmode": "array", "tickvals": list(range(len(shown))), "ticktext": names}
    layout = {
        "xaxis": axis(
            "difference from the baseline, more is better", zeroline=True, zerolinecolor=INK, zerolinewidth=1
        ),
        "yaxis": axis("", len(shown) - 0.5, -0.5, **ticks, showgrid=False),
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "margin": {"l": 60, "r": 16, "t": 36, "b": 48},
        "showlegend": True,
    }
    return picture(traces, layout, 110 + 26 * len(shown), f"Differences from the baseline: {name}")


def _kind(finding: Finding) -> str:
    return "bold" if finding.bold else "interval off 0" if finding.found.off_zero else "not told from 0"


def rank_plot(overall: Overall, name: str) -> Picture | None:
    """The mean rank of each method over the tasks, the best on top; None of fewer than two."""
    if len(overall.rank) < 2:
        return None
    order = sorted(overall.rank, key=lambda method: overall.rank[method])
    places = list(range(len(order)))
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [overall.rank[method] for method in order],
            "y": places,
            "marker": {"color": LINES[0]["color"], "size": 11, "line": {"color": RULE, "width": 0}},
            "text": [
                f"{label(method)}: {overall.rank[method]:.2f}, Borda {overall.points[method]:g}" for method in order
            ],
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [label(method, 32) for method in order]}
    count = len(overall.tasks)
    layout = {
        "xaxis": axis(f"mean rank over {count} task{'s' if count != 1 else ''}", 0.7, len(order) + 0.3, dtick=1),
        "yaxis": axis("", len(order) - 0.5, -0.5, **ticks),
        "showlegend": False,
    }
    return picture(traces, layout, 90 + 26 * len(order), f"Mean ranks: {name}")
