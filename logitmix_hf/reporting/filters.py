"""``filters.png``: the norms of the members' first filters side by side, and how many filters of the trunk are active."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from logitmix_hf.models.filters import THRESHOLDS, Filters
from logitmix_hf.reporting.style import BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE, VERMILION, save_figure

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)


def filters_plot(filters: Filters, path: str | Path, title: str = "") -> Path:
    """Draw them into ``path``, as figure 4 of MixMo has them."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(12, 4.6), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        count, width = len(filters.stems), 0.8 / len(filters.stems)
        places = np.arange(len(filters.stems[0]))
        for number, norms in enumerate(filters.stems):
            shift = (number - (count - 1) / 2) * width
            name = f"member {number}" if count > 1 else None
            left.bar(places + shift, norms, width, label=name, color=_COLOURS[number % len(_COLOURS)])
        left.set_title("First convolution")
        left.set_xlabel("filter")
        left.set_ylabel("L1 norm")
        if count > 1:
            left.legend()
        shares = [filters.active(threshold) for threshold in THRESHOLDS]
        right.bar([f"{threshold:g}" for threshold in THRESHOLDS], shares, 0.6, color=BLUE)
        for place, share in enumerate(shares):
            right.annotate(f"{share:.3f}", (place, share), ha="center", va="bottom", fontsize=11)
        right.set_ylim(0, 1.08)
        right.set_title("Active filters of the trunk")
        right.set_xlabel("of the layer's largest norm")
        right.set_ylabel("share, mean over layers")
        if title:
            figure.suptitle(title, fontsize=14)
        save_figure(figure, path)
    return Path(path)
