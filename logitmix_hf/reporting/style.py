"""How pictures look. Colours are Okabe and Ito's, safe for the colour-blind; nothing of pyplot's global state is touched."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logitmix_hf.disk import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe, Ito: Color Universal Design (2008).
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
GREY, INK = "#6E6E6E", "#222222"

STYLE: Any = {
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


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", facecolor="white")
    write_atomic(Path(path), picture.getvalue())
