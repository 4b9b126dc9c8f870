"""The picture of corrupted images over their severities."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from logitmix_hf.reporting.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, STYLE, VERMILION, save_figure

FILE, PICTURE = "corruptions.json", "corruptions.png"

KINDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "noise": (BLUE, ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")),
    "blur": (GREEN, ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur")),
    "weather": (SKY, ("snow", "frost", "fog", "spatter")),
    "light and colour": (ORANGE, ("brightness", "contrast", "saturate")),
    "shape and files": (PURPLE, ("elastic_transform", "pixelate", "jpeg_compression")),
}
"""The corruptions of one kind have one colour; nineteen cannot be told apart."""


def corruption_plot(
    table: Mapping[str, Mapping[str, Sequence[float]]],
    clean: Mapping[str, float],
    path: str | os.PathLike[str],
    title: str,
) -> None:
    """Accuracy, NLL and ECE over severities, from the clean images at 0 on, as a PNG: a thin line for each corruption,
    coloured by its kind, and the mean of all, thick.

    Args:
        table: of each corruption by score its value at every severity. clean: score to its value on the clean images.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    scores = {"accuracy": "accuracy", "nll": "NLL, nats", "ece": "ECE"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 4.6), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(scores)))
        for axes, (score, name) in zip(panels, scores.items(), strict=True):
            lines = {one: [clean[score], *values[score]] for one, values in table.items()}
            for kind, (colour, members) in KINDS.items():
                for number, one in enumerate([one for one in members if one in lines]):
                    axes.plot(lines[one], color=colour, linewidth=1.2, label=None if number else kind)
            axes.plot(np.mean(list(lines.values()), axis=0), color=VERMILION, linewidth=3, label="mean")
            worst = (min if score == "accuracy" else max)(lines, key=lambda one: lines[one][-1])
            axes.annotate(
                worst.replace("_", " "),
                (len(lines[worst]) - 1, lines[worst][-1]),
                xytext=(-4, -12 if score == "accuracy" else 6),
                textcoords="offset points",
                ha="right",
                color=INK,
                fontsize=10,
            )
            axes.set(xlabel="severity", title=name, xticks=range(6), xticklabels=["clean", *"12345"])
            axes.set_ylim(0, 1 if score == "accuracy" else None)
            axes.grid(axis="y", color=GREY, alpha=0.2)
        panels[0].legend(loc="lower left")
        figure.suptitle(title, color=INK)
        save_figure(figure, path)
