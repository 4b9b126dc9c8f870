"""What all pictures of a page share. Colours are names of the page's CSS variables, so that one picture serves light,
dark and paper; the page's script puts the values in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

INK, MUTED, GRID, RULE, PAPER = "var(--ink)", "var(--muted)", "var(--grid)", "var(--rule)", "var(--paper)"
BLUE, VERMILION, GREEN, PURPLE = "var(--blue)", "var(--vermilion)", "var(--green)", "var(--purple)"
ORANGE, SKY, GREY, FILL = "var(--orange)", "var(--sky)", "var(--grey)", "var(--fill)"
NONE = "rgba(0,0,0,0)"

LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}}

LINES = [
    {"color": colour, "dash": dash}
    for dash in ("solid", "dash", "dot", "dashdot")
    for colour in (BLUE, VERMILION, GREEN, PURPLE, ORANGE, INK, SKY)
]
"""How many lines in one picture are told apart: by Okabe and Ito's colours, then by dashes too."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        figure: of plotly, as JSON.
        height: in pixels.
        words: what it shows.
        entries: of the legend below it, which needs more height where the page is narrow.
    """

    figure: str
    height: int
    words: str
    entries: int = 0


def axis(title: str, low: float | None = None, high: float | None = None, **more: Any) -> dict[str, Any]:
    """An axis that does not catch a finger that scrolls."""
    span = {} if low is None else {"range": [low, high]}
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 12, "color": MUTED}},
        "gridcolor": GRID,
        "linecolor": RULE,
        "tickfont": {"size": 11, "color": MUTED},
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        **span,
        **more,
    }


def picture(traces: Sequence[Any], layout: dict[str, Any], height: int, words: str, entries: int = 0) -> Picture:
    """Traces of plotly and the layout beyond what all pictures share."""
    import plotly.graph_objects as go
    import plotly.io

    base = {
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": NONE,
        "plot_bgcolor": NONE,
        "margin": {"l": 56, "r": 16, "t": 10, "b": 40},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": RULE, "font": {"color": INK, "size": 12}, "align": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "legend": LEGEND,
    }
    drawn = go.Figure(data=list(traces), layout={**base, **layout})
    values = json.loads(str(plotly.io.to_json(drawn, validate=False, engine="json")))
    values["layout"].pop("template", None)
    return Picture(json.dumps(values, separators=(",", ":")), height, words, entries)


def label(text: str, most: int = 60) -> str:
    """Text of a user's as plotly may draw it: it reads some HTML in labels. The middle of a long one is left out, since what
    tells two apart stands at the end (``label_smoothing_factor 0.1``)."""
    end = most // 2
    return escape(text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}", quote=False)


def rounded(values: Any, digits: int = 5) -> list[float | None]:
    """Plain numbers that do not fill the page with digits; what is not finite is a gap."""
    return [round(float(value), digits) if abs(float(value)) < float("inf") else None for value in values]
