"""What a card is written from, gathered once: every section reads the same facts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from logitmix_hf.evaluation.predictions import REGRESSION, Predictions
from logitmix_hf.reporting.card.images import is_untrained
from logitmix_hf.reporting.card.words import BUILTIN_MODEL_ID, SCORE_NAMES
from logitmix_hf.tables import markdown_text

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """The content of a run folder, as far as its card speaks of it; what is missing is not spoken of.

    run, results: content of ``run.json`` and ``eval_results.json``.
    name:         of the model; the title.
    location:     what ``pipeline(model=…)`` takes: the folder, or the id on the Hub.
    method:       the method's row: ``name``, ``idea``, ``source`` and what it was trained with.
    picture:      file name of the reliability plot.
    tempered_picture: whether ``calibration.png``, reliability before and after a temperature, is there.
    bins:         of ECE and OE in ``results``.
    intervals:    content of ``intervals.json``.
    temperature:  what ``config.json`` says under ``logitmix``: ``temperature``, ``folded`` …
    predictions:  prefix of the results' keys (``eval``, ``eval_mm``) to the predictions of that split.
    emissions:    what codecarbon measured: see ``reporting.emissions``.
    """

    run: Record
    results: Record
    name: str
    location: str
    method: Record = field(default_factory=dict)
    picture: str | None = "reliability.png"
    bins: int = 15
    intervals: Record = field(default_factory=dict)
    temperature: Record = field(default_factory=dict)
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    emissions: Record | None = None
    tempered_picture: bool = False

    @property
    def data(self) -> Record:
        return self.run.get("data", {})

    @property
    def arguments(self) -> Record:
        return self.run.get("arguments", {})

    @property
    def model(self) -> Record:
        return self.run.get("model", {})

    @property
    def classifies(self) -> bool:
        """Whether there are probabilities to speak of."""
        return self.data.get("problem") != REGRESSION

    @property
    def trained(self) -> bool:
        """Whether this run trained the model, and did not only judge one that was there."""
        return bool(self.method.get("name")) and self.arguments.get("do_train") is not False

    @property
    def splits(self) -> Mapping[str, Record]:
        """Prefix of the results' keys to ``{"split": name, "rows": count}``."""
        return self.data.get("splits") or {"eval": {"split": "validation"}}

    @property
    def divisor(self) -> float | None:
        """The temperature that was fitted, None where none was."""
        return finite(self.results.get("temperature", self.temperature.get("temperature")))

    @property
    def folded(self) -> bool | None:
        """Whether the weights hold the temperature (True) or the configuration alone does (False); None: neither does,
        because no model was saved. Where they do not, whoever loads the model divides the logits by it."""
        return bool(self.temperature.get("folded", True)) if self.temperature.get("temperature") else None

    def scores(self, prefix: str) -> Iterator[tuple[str, str, float]]:
        """Key, name and value of the finite scores under a prefix: headline metrics first, then as reports list them."""
        for metric in dict.fromkeys((*self.data.get("metrics", ()), *SCORE_NAMES)):
            if (value := finite(self.results.get(f"{prefix}_{metric}"))) is not None:
                yield metric, SCORE_NAMES.get(metric, metric.replace("_", " ")), value

    def interval(self, prefix: str, metric: str) -> tuple[float, float] | None:
        """The interval of a score; None where there is none, or none that is finite."""
        found = (self.intervals.get(prefix) or {}).get(metric)
        if not isinstance(found, (list, tuple)) or len(found) != 2:
            return None
        low, high = map(finite, found)
        return None if low is None or high is None else (low, high)


def finite(value: Any) -> float | None:
    """A number as Python's float, numpy's too; None for what is missing, NaN or infinite."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def base_model(run: Record) -> str | None:
    """The Hub id of the base model; None for a local folder and for a network from random weights."""
    model = run.get("model", {})
    base = str(model.get("base") or "")
    if is_untrained(run) or model.get("local"):
        return None
    if base == "builtin":
        return BUILTIN_MODEL_ID
    return base if is_hub_id(base) else None


def is_hub_id(name: str) -> bool:
    """Whether a repository of the Hub could be called so."""
    return bool(re.fullmatch(r"(?=.{1,96}$)\w[\w.-]*(/\w[\w.-]*)?", name))


def hub_data(data: Record) -> str | None:
    """The Hub id of the data set. A folder or a file may be called like one without being one: then None."""
    source = str(data.get("source") or "")
    on_hub = data.get("kind", "hub") == "hub" and "/" in source and is_hub_id(source) and not data.get("synthetic")
    return source if on_hub else None


def data_name(data: Record) -> str:
    """What the data is called in a sentence."""
    name, source = data.get("name"), data.get("source")
    if data.get("synthetic"):
        return f"{name} (synthetic, generated by logitmix_hf)"
    if not source or not name or name in (source, source.rpartition("/")[2], source.rpartition(".")[0]):
        return str(source or name or "custom")  # "reviews.csv", not "reviews of reviews.csv"
    return f"{name} of {source}"


def sentence(text: str) -> str:
    """With a capital at the front and a full stop at the end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def cell(value: Any) -> str:
    """A value as a cell of a Markdown table can hold it."""
    return markdown_text(f"{value:g}" if isinstance(value, float) and not isinstance(value, bool) else value)
