"""The four methods on the same spirals: trained, drawn side by side, and written down."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from logitmix_hf.commands import spiral_task as task
from logitmix_hf.commands.spiral_settings import SpiralSettings
from logitmix_hf.disk import write_atomic
from logitmix_hf.reporting.style import BLUE, INK, VERMILION
from logitmix_hf.tables import aligned_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the points, to be seen on their own colour at its fullest.
_DARK_BLUE, _DARK_VERMILION = "#00304D", "#6B2500"

MEANING = {
    "train_accuracy": "share of the training points that are classified right",
    "train_confidence": "mean probability of the predicted class over the training points",
    "train_undecided": "share of the training points with p(class 1) within .3-.7",
    "test_accuracy": "share of 2,000 fresh points of the same arms that are classified right",
    "boundary_width": f"share of the disc of radius {task.OUTER:g}, which the arms fill, with p(class 1) within .3-.7",
    "ring_confidence": "mean probability of the predicted class where no data lies, at radius {:g}-{:g}".format(
        *task.RING
    ),
}
_HEADS = {
    "train_accuracy": "train acc",
    "test_accuracy": "test acc",
    "train_confidence": "train conf",
    "train_undecided": "undecided",
    "boundary_width": "boundary",
    "ring_confidence": "ring conf",
}


def run(settings: SpiralSettings) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """Train every method from the same weights on the same points.

    Returns:
        By method: the numbers of :func:`logitmix_hf.commands.spiral_task.judge` and ``seconds``; and p(class 1) over
        the plane.
    """
    train_set = task.training_points(settings.points, settings.noise, settings.cycles, settings.seed)
    fresh = task.fresh_points(settings.noise, settings.cycles, settings.seed)
    results, probabilities = {}, {}
    # What torch loads for its first step belongs to no method's seconds.
    task.train(task.untrained(settings.seed), task.TOY_METHODS["vanilla"], *train_set, 1, settings.seed)
    for method in task.TOY_METHODS.values():
        print(f"{method.title}: {settings.steps} steps", end="", flush=True)
        start = time.perf_counter()
        network = task.train(task.untrained(settings.seed), method, *train_set, settings.steps, settings.seed)
        seconds = time.perf_counter() - start
        print(f", {seconds:.0f} s", flush=True)
        results[method.name] = {**task.judge(network, train_set, fresh), "seconds": seconds}
        probabilities[method.name] = task.probability(network, task.plane())
    return results, probabilities


def draw(
    results: Mapping[str, Mapping[str, float]],
    probabilities: Mapping[str, np.ndarray],
    points: np.ndarray,
    labels: np.ndarray,
    path: str | os.PathLike[str],
) -> None:
    """The four panels as a PNG: p(class 1) over the plane as colour, the decision boundary, the training points,
    and, dotted, the ring off the data.

    Args:
        results: by method, as :func:`run` gives them.
        probabilities: by method, (side, side) over :func:`logitmix_hf.commands.spiral_task.plane`.
        points, labels: (N, 2), (N,) what was trained on.
        path: of the PNG.
    """
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure
    from PIL import Image

    colours = LinearSegmentedColormap.from_list("classes", [BLUE, "#F7F7F7", VERMILION])
    with mpl.rc_context({"font.size": 14, "text.color": INK, "axes.edgecolor": INK, "xtick.color": INK}):
        figure = Figure(figsize=(15.4, 5.3), dpi=110)
        figure.set_layout_engine("compressed", wspace=0.03, w_pad=0.1, h_pad=0.1)
        axes = figure.subplots(1, len(results))
        for panel, (name, numbers) in zip(axes, results.items(), strict=True):
            _panel(panel, probabilities[name], points, labels, colours)
            panel.set_title(task.TOY_METHODS[name].title, fontweight="bold", fontsize=16, pad=8)
            panel.set_xlabel(_caption(numbers), family="monospace", fontsize=13, linespacing=1.4, labelpad=9)
        shades = ScalarMappable(Normalize(0, 1), colours)
        bar = figure.colorbar(shades, ax=list(axes), ticks=[0, 0.3, 0.5, 0.7, 1], aspect=22, pad=0.015)
        bar.set_label("probability of class 1")
        bar.outline.set_linewidth(0.8)  # type: ignore[operator]
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", facecolor="white")
    small = io.BytesIO()  # a palette holds all of it in half the bytes
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    write_atomic(Path(path), small.getvalue())


def _panel(axes: Axes, p: np.ndarray, points: np.ndarray, labels: np.ndarray, colours: Any) -> None:
    from matplotlib.patches import Circle

    axis = np.linspace(-task.REACH, task.REACH, len(p))
    axes.contourf(axis, axis, p, levels=np.linspace(0, 1, 21), cmap=colours, vmin=0, vmax=1)
    axes.contour(axis, axis, p, levels=[0.5], colors=INK, linewidths=1.6)
    # Marks differ too, for whoever sees no colours.
    for label, colour, mark, size in ((0, _DARK_BLUE, "o", 24), (1, _DARK_VERMILION, "^", 28)):
        some = labels == label
        x, y = points[some].T
        axes.scatter(x, y, size, colour, marker=mark, edgecolors="white", linewidths=0.7, zorder=3)
    for radius in task.RING:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="white", linestyle=(0, (1, 2)), linewidth=1.3))
    axes.set(xlim=(-task.REACH, task.REACH), ylim=(-task.REACH, task.REACH), aspect="equal", xticks=[], yticks=[])


def _caption(numbers: Mapping[str, float]) -> str:
    lines = (
        ("train accuracy", "train_accuracy"),
        ("train confidence", "train_confidence"),
        ("boundary width", "boundary_width"),
        ("ring confidence", "ring_confidence"),
    )
    return "\n".join(f"{word:<17}{numbers[key]:.3f}" for word, key in lines)


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """What the terminal shows of :func:`run`."""
    rows = [
        [name, *(f"{numbers[key]:.4f}" for key in _HEADS), f"{numbers['seconds']:.1f}"]
        for name, numbers in results.items()
    ]
    return aligned_table(["method", *_HEADS.values(), "seconds"], rows, "l" + "r" * (len(_HEADS) + 1))


def record(settings: SpiralSettings, results: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """What :data:`~logitmix_hf.commands.spiral_settings.NUMBERS` holds."""
    return {
        "settings": {
            **asdict(settings),
            "optimizer": "Adam, full batch",
            "learning_rate": task.LEARNING_RATE,
            "layers": task.WIDTHS,
            "share": "one for each pair",
        },
        "methods": {
            name: {"weights": method.weights, "alpha": method.alpha, "sites": method.sites if method.alpha else ()}
            for name, method in task.TOY_METHODS.items()
        },
        "results": results,
        "meaning": MEANING,
    }
