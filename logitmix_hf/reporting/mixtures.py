"""The picture of what a network sees: images, their partners, the mixtures and the masks, one block a mixer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logitmix_hf.disk import write_atomic


@dataclass(frozen=True)
class Mixtures:
    """One mixer's block.

    Attributes:
        title: the mixer, and what else is to be said.
        originals, partners, mixed: (N, H, W, C) in [0, 1], C 1 or 3.
        masks: (N, H, W) in [0, 1], the share of the row itself at each pixel; None where there is none to show.
        shares: (N,) of the row itself.
    """

    title: str
    originals: np.ndarray
    partners: np.ndarray
    mixed: np.ndarray
    masks: np.ndarray | None
    shares: np.ndarray


def mixtures_plot(blocks: Sequence[Mixtures], path: str | Path) -> Path:
    """Draw the blocks below each other; under each column the share that the image keeps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(block.originals) for block in blocks)
    parts = []
    for block in blocks:
        rows = [("image", block.originals, False), ("partner", block.partners, False), ("mixture", block.mixed, False)]
        parts.append(rows if block.masks is None else [*rows, ("mask: bright,\nthe image", block.masks, True)])
    cell, label = 0.95, 1.1
    heights = [len(rows) * cell + 0.75 for rows in parts]
    figure = Figure(figsize=(label + columns * cell + 0.1, sum(heights)), dpi=150, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    width, height = figure.get_size_inches()
    top = height
    for block, rows, tall in zip(blocks, parts, heights, strict=True):
        bottom = top - 0.38 - len(rows) * cell
        figure.text(0.08 / width, (top - 0.1) / height, block.title, va="top", fontsize=10, fontweight="bold")
        for number, (name, pictures, grey) in enumerate(rows):
            bottom = top - 0.38 - (number + 1) * cell
            figure.text((label - 0.1) / width, (bottom + cell / 2) / height, name, ha="right", va="center", fontsize=9)
            for column, picture in enumerate(pictures):
                place = (
                    (label + column * cell) / width,
                    (bottom + 0.03) / height,
                    (cell - 0.06) / width,
                    (cell - 0.06) / height,
                )
                axes = figure.add_axes(place)
                axes.set_axis_off()
                pixels = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
                axes.imshow(pixels, vmin=0, vmax=1, cmap="cividis" if grey else "gray", interpolation="nearest")
        bottom = top - 0.38 - len(rows) * cell
        for column, share in enumerate(block.shares):
            middle = (label + (column + 0.5) * cell) / width
            figure.text(middle, (bottom - 0.04) / height, f"{share:.2f}", ha="center", va="top", fontsize=9)
        figure.text((label - 0.1) / width, (bottom - 0.04) / height, "own share", ha="right", va="top", fontsize=9)
        top -= tall
    picture = io.BytesIO()
    canvas.print_png(picture)
    write_atomic(Path(path), picture.getvalue())
    return Path(path)
