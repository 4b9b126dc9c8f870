"""The picture of a training: loss terms and score over steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from logitmix_hf.reporting.numbers import curve_of
from logitmix_hf.reporting.style import BLUE, GREEN, INK, ORANGE, STYLE, VERMILION, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_plot(
    log_history: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], metric: str | None = None
) -> None:
    """Draw the loss and its terms, and below them the evaluation score, over training steps, as a PNG.

    Args:
        log_history: ``trainer.state.log_history``: dicts with ``step`` and ``loss``, ``loss_mix``, ``loss_cls``,
            ``loss_sim``, ``loss_agree``, ``eval_…``.
        path: of the PNG.
        metric: the headline score, with or without ``eval_``; by default the first known one in the log. ECE is drawn
            beside it where it was logged.

    Where everything was logged once its values stand as bars, with their numbers. A history without any of these gives a
    picture that says so.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [metric.removeprefix("eval_")] if metric else list(_HEADLINES)
    metric = next((f"eval_{name}" for name in names if curve_of(log_history, f"eval_{name}")[0]), None)
    drawn = [
        (key, label, colour, style)
        for key, label, colour, style in (
            ("loss", "loss (weighted sum)", INK, "-"),
            ("loss_mix", "mixed rows", VERMILION, "-"),
            ("loss_cls", "clean rows", BLUE, "--"),
            ("loss_sim", "similarity", GREEN, "-."),
            ("loss_agree", "agreement", ORANGE, ":"),
        )
        if curve_of(log_history, key)[0]
    ]
    if len(drawn) == 2 and drawn[0][0] == "loss":  # one term: its curve and the sum's are one
        drawn = drawn[:1]
    panels = [bool(drawn), metric is not None]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.6 * max(sum(panels), 1)), dpi=150, layout="constrained")
        axes = list(figure.subplots(max(sum(panels), 1), 1, squeeze=False)[:, 0])
        if not any(panels):
            axes[0].text(0.5, 0.5, "nothing was logged", ha="center", va="center", transform=axes[0].transAxes)
            axes[0].set_axis_off()
            return save_figure(figure, path)
        seen = [step for key in (*(key for key, *_ in drawn), metric) if key for step in curve_of(log_history, key)[0]]
        if drawn and (once := _once(log_history, {key: (label, colour) for key, label, colour, _ in drawn})):
            _bars(axes.pop(0), once, "loss")
        elif drawn:
            upper = axes.pop(0)
            _steps(upper, seen)
            for key, label, colour, style in drawn:
                steps, values = curve_of(log_history, key)
                upper.plot(
                    steps, values, style, color=colour, label=label, lw=2, marker="o", ms=5 if len(steps) < 12 else 0
                )
            upper.set_ylabel("loss")
            upper.set_ylim(bottom=0)
            _finish(upper)
        if metric is not None:
            lower = axes.pop(0)
            chosen = [metric] + ["eval_ece"] * bool(curve_of(log_history, "eval_ece")[0] and metric != "eval_ece")
            looks = {key: (_metric_name(key), colour) for key, colour in zip(chosen, (BLUE, VERMILION), strict=False)}
            if once := _once(log_history, looks):
                _bars(lower, once, "evaluation")
                return save_figure(figure, path)
            _steps(lower, seen)
            for (key, (_, colour)), marker in zip(looks.items(), ("o", "s"), strict=False):
                steps, values = curve_of(log_history, key)
                lower.plot(steps, values, color=colour, marker=marker, ms=7, lw=2, label=_metric_name(key))
                lower.annotate(
                    f"{values[-1]:.3f}", (steps[-1], values[-1]), (8, 0), textcoords="offset points", va="center"
                )
            lower.set_ylabel("evaluation")
            lower.margins(y=0.15)
            _finish(lower)
        save_figure(figure, path)


def _once(
    log_history: Sequence[Mapping[str, Any]], looks: Mapping[str, tuple[str, str]]
) -> list[tuple[str, str, float, float]]:
    """Label, colour, step and value of each, where none was logged twice: a point would be a curve of nothing."""
    series = {key: curve_of(log_history, key) for key in looks}
    if any(len(steps) > 1 for steps, _ in series.values()):
        return []
    return [(*looks[key], steps[0], values[0]) for key, (steps, values) in series.items() if steps]


def _bars(axes: Axes, once: Sequence[tuple[str, str, float, float]], what: str) -> None:
    for place, (_, colour, _, value) in enumerate(once):
        axes.barh(place, value, color=colour, height=0.6)
        axes.annotate(f"{value:.3f}", (max(value, 0), place), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(once)), [label for label, *_ in once])
    axes.invert_yaxis()
    axes.margins(x=0.14)
    steps = {step for *_, step, _ in once}
    axes.set_xlabel(f"{what}, logged once" + (f", at step {steps.pop():.0f}" if len(steps) == 1 else ""))
    axes.grid(axis="x", color="#DDDDDD", lw=0.8)
    axes.set_axisbelow(True)


def _steps(axes: Axes, seen: Sequence[float]) -> None:
    """The same axis of steps below every panel that has one; numbers behind the last points need room."""
    margin = 0.09 * (max(seen) - min(seen)) or 1
    axes.set_xlim(min(seen) - margin, max(seen) + margin)
    axes.set_xlabel("optimiser step")


_HEADLINES = ("accuracy", "f1", "f1_micro", "matthews_correlation", "pearson", "spearmanr", "mse", "loss")


def _metric_name(key: str) -> str:
    name = key.removeprefix("eval_")
    return "ECE" if name == "ece" else name.replace("_", " ")


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", color="#DDDDDD", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="best")
