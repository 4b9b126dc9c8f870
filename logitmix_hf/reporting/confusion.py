"""The confusion matrix as a picture."""

from __future__ import annotations

import os

import numpy as np

from logitmix_hf.errors import listed, printable
from logitmix_hf.evaluation.class_scores import ClassScores
from logitmix_hf.reporting.style import STYLE, save_figure

FILE = "confusion.png"
MOST_NUMBERED = 15
"""Classes up to which every cell says its count."""
MOST_NAMED = 40
"""Classes up to which the axes name them; of more they are numbered."""


def confusion_plot(found: ClassScores, path: str | os.PathLike[str], title: str = "Confusion") -> bool:
    """Draw, for each true class, which share of its rows was answered as each class, with counts where there is room.

    Returns:
        False, with nothing drawn, for several labels a row and for more classes than a matrix is kept of.
    """
    if found.several or found.confusion is None:
        return False
    import matplotlib as mpl
    from matplotlib.figure import Figure

    count = len(found)
    shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE):
        side = min(max(4.5, 0.55 * count + 2.5), 12)
        figure = Figure(figsize=(side + 1, side), dpi=110)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(drawn, ax=axes, label="share of the class's rows", shrink=0.8)
        axes.set(xlabel="answered", ylabel="true class")
        axes.set_title(printable(title), fontweight="bold", parse_math=False)
        if count <= MOST_NAMED:
            names = [_short(name) for name in found.names]
            axes.set_xticks(range(count), names, rotation=45 if count > 3 else 0, ha="right" if count > 3 else "center")
            axes.set_yticks(range(count), names)
            for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
                label.set_parse_math(False)
        if count <= MOST_NUMBERED:
            for (true, said), rows in np.ndenumerate(found.confusion):
                colour = "white" if shares[true, said] > 0.6 else "black"
                axes.text(said, true, f"{rows:,}", ha="center", va="center", color=colour, fontsize=10)
        save_figure(figure, path)
    return True


def _short(name: str) -> str:
    text = printable(listed([name], quote=False))
    return text if len(text) <= 18 else text[:17] + "…"
