"""What a card is written from, gathered once, and the values that its template asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from logitmix_hf.evaluation.predictions import Predictions
from logitmix_hf.reporting.numbers import finite, pair
from logitmix_hf.reporting.score_names import SCORE_NAMES
from logitmix_hf.tables import markdown_text

Json = Mapping[str, Any]

BUILTIN_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
"""The Hub's name of the weights that ``--model builtin`` installs (the same file, byte for byte)."""


@dataclass(frozen=True)
class Facts:
    """The content of a run folder, as far as its card speaks of it; what is missing is not spoken of.

    run, results: content of ``run.json``, and of ``eval_results.json`` with ``test_results.json``.
    name:         of the model; the title.
    location:     what ``pipeline(model=…)`` takes: the folder, or the id on the Hub.
    method:       the method's row: ``name``, ``idea``, ``source`` and what it was trained with.
    picture:      file name of the reliability plot.
    tempered_picture: file name of the plot of reliability before and after a temperature.
    confusion:    file name of the picture of the confusion matrix.
    bins:         of ECE and OE in ``results``.
    intervals:    content of ``intervals.json``.
    temperature:  what ``config.json`` says under ``logitmix``: ``temperature``, ``folded`` …
    predictions:  prefix of the results' keys (``eval``, ``eval_mm``) to the predictions of that split.
    emissions:    what codecarbon measured: see ``reporting.emissions``.
    """

    run: Json
    results: Json
    name: str
    location: str
    method: Json = field(default_factory=dict)
    picture: str | None = "reliability.png"
    tempered_picture: str | None = None
    confusion: str | None = None
    bins: int = 15
    intervals: Json = field(default_factory=dict)
    temperature: Json = field(default_factory=dict)
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    emissions: Json | None = None

    @property
    def data(self) -> Json:
        return self.run.get("data", {})

    @property
    def arguments(self) -> Json:
        return self.run.get("arguments", {})

    @property
    def model(self) -> Json:
        return self.run.get("model", {})

    @property
    def trained(self) -> bool:
        """Whether this run trained the model, and did not only judge one that was there."""
        return bool(self.method.get("name")) and self.arguments.get("do_train") is not False

    @property
    def splits(self) -> Mapping[str, Json]:
        """Prefix of the results' keys to what ``run.json`` says of the split."""
        return self.data.get("splits") or {"eval": {"split": "validation"}}

    def judged_on(self, prefix: str) -> str:
        """The file or the split that a prefix's scores are of; older runs know the name of its predictions alone."""
        split = self.splits.get(prefix, {})
        return str(split.get("source") or split.get("split", prefix))

    def named(self, *, test: bool) -> str:
        """The splits by which something may have been chosen, or those by which nothing was, where they have scores."""
        found = [prefix for prefix, split in self.splits.items() if bool(split.get("test")) == test]
        return " and ".join(markdown_text(self.judged_on(prefix)) for prefix in found if any(self.scores(prefix)))

    @property
    def divisor(self) -> float | None:
        """The temperature that was fitted, None where none was."""
        if self.vector:
            return None
        return finite(self.results.get("temperature", self.temperature.get("temperature")))

    @property
    def vector(self) -> bool:
        """Whether a vector scaling was fitted in its place."""
        return "scale" in (self.results.get("calibration") or self.temperature)

    @property
    def folded(self) -> bool | None:
        """Whether the weights hold the temperature (True) or the configuration alone does (False); None: neither does,
        because no model was saved. Where they do not, whoever loads the model divides the logits by it."""
        known = self.temperature.get("temperature") or "scale" in self.temperature
        return bool(self.temperature.get("folded", True)) if known else None

    @property
    def base_id(self) -> str | None:
        """The Hub id of the base model; None for a local folder and for a network from random weights."""
        base = str(self.model.get("base") or "")
        if self.model.get("pretrained") is False or self.model.get("local"):
            return None
        if base == "builtin":
            return BUILTIN_MODEL_ID
        return base if is_hub_id(base) else None

    @property
    def data_name(self) -> str:
        """What the data is called in a sentence."""
        name, source = self.data.get("name"), self.data.get("source")
        if self.data.get("synthetic"):
            return f"{name} (synthetic, generated by logitmix_hf)"
        if not source or not name or name in (source, source.rpartition("/")[2], source.rpartition(".")[0]):
            return str(source or name or "custom")  # "reviews.csv", not "reviews of reviews.csv"
        return f"{name} of {source}"

    @property
    def device(self) -> str | None:
        """The device that did the work, as one line."""
        environment = self.run.get("environment", {})
        device = environment.get("device", {})
        if not device.get("name"):
            return device.get("type") if device.get("type") not in (None, "cpu") else environment.get("cpu")
        memory = f" ({device['memory_gb']:g} GB)" if device.get("memory_gb") else ""
        return f"{device['name']}{memory}"

    def scores(self, prefix: str) -> Iterator[tuple[str, str, float]]:
        """Key, name and value of the finite scores under a prefix: headline metrics first, then as reports list them."""
        for metric in dict.fromkeys((*self.data.get("metrics", ()), *SCORE_NAMES)):
            if (value := finite(self.results.get(f"{prefix}_{metric}"))) is not None:
                yield metric, SCORE_NAMES.get(metric, metric.replace("_", " ")), value

    def interval(self, prefix: str, metric: str) -> tuple[float, float] | None:
        """The interval of a score; None where there is none, or none that is finite."""
        return pair((self.intervals.get(prefix) or {}).get(metric))


def is_hub_id(name: str) -> bool:
    """Whether a repository of the Hub could be called so."""
    return bool(re.fullmatch(r"(?=.{1,96}$)\w[\w.-]*(/\w[\w.-]*)?", name))


def hub_data(data: Json) -> str | None:
    """The Hub id of the data set. A folder or a file may be called like one without being one: then None."""
    source = str(data.get("source") or "")
    on_hub = data.get("kind", "hub") == "hub" and "/" in source and is_hub_id(source) and not data.get("synthetic")
    return source if on_hub else None
