"""What a card is written from, gathered once, and the values that its template asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from logitmix_hf.errors import printable
from logitmix_hf.evaluation.never_predicted import never_predicted
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.reporting.card.calibrated import before_and_after, decided, fit, sets
from logitmix_hf.reporting.card.classes import ClassesOfSplit, classes_of_split
from logitmix_hf.reporting.card.corruptions import corruption_facts
from logitmix_hf.reporting.card.coverage import coverage_rows
from logitmix_hf.reporting.card.ood import ood_rows
from logitmix_hf.reporting.class_lines import HEADS
from logitmix_hf.reporting.numbers import bracketed, count, finite, number, pair
from logitmix_hf.reporting.score_names import SCORE_NAMES
from logitmix_hf.tables import markdown_block, markdown_code, markdown_table, markdown_text

Json = Mapping[str, Any]

BUILTIN_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
"""The Hub's name of the weights that ``--model builtin`` installs (the same file, byte for byte)."""

FEW_ROWS = 200
"""Below this many rows the calibration measures of 15 bins are mostly chance: about 13 rows a bin."""

TRAINING_ARGUMENTS = (
    *("alpha", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_length", "optim"),
    *("momentum", "nesterov", "lr_milestones", "lr_gamma", "ema", "bn_mode", "mix_schedule", "mixer_probs"),
    "mixer_options",
)
"""The arguments of a run that its card shows; all of them are in run.json."""


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

    def values(self) -> dict[str, Any]:
        """What ``card.md.j2`` asks for, by the names that it calls them."""
        problem, name = self.data.get("problem"), str(self.method.get("name"))
        labels = [markdown_code(label) for label in self.data.get("label_names") or ()]
        columns, parameters = self.data.get("columns") or (), self.model.get("parameters")
        selects = self.trained and self.arguments.get("load_best_model_at_end")
        has_intervals = any(self.interval(prefix, key) for prefix in self.splits for key, *_ in self.scores(prefix))
        return {
            "text": markdown_text, "code": markdown_code, "block": markdown_block, "table": markdown_table,
            "quoted": quoted,
            "name": self.name,
            "location": self.location,
            # the model
            "base": self.model.get("base"),
            "base_id": self.base_id,
            "contrastive": self.base_id == BUILTIN_MODEL_ID,
            "random_weights": self.model.get("pretrained") is False,
            "own_network": self.model.get("type") == "logitmix_convnet",  # which transformers has to be told of
            "parameters": f"{parameters / 1e6:.1f}" if parameters else "",
            "images": self.model.get("pipeline_tag") == "image-classification",
            "image_size": self.model.get("image_size"),
            # the method
            "trained": self.trained,
            "method": name,
            "idea": sentence(str(self.method.get("idea") or "")),
            "mixes": self.trained and name != "vanilla",
            "logitmix": "logitmix" in name,
            "command": self.run.get("command"),
            "settings": shown_rows(self.settings()),
            "selected_by": (self.arguments.get("metric_for_best_model") or "loss") if selects else "",
            # the data
            "data": self.data_name,
            "task": str(self.data.get("name")).lower().split("_")[0],
            "synthetic": self.data.get("synthetic"),
            "labels": ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else ""),
            "pairs": len(columns) == 2,
            "windows": self.arguments.get("long_texts") == "windows" or bool(self.data.get("in_windows")),
            "regression": problem == REGRESSION,
            "several_labels": problem == MULTI,
            "validation": self.data.get("validation"),
            "subset": sentence(str(self.data.get("subset") or "")),
            "few_rows": ", ".join(
                f"{markdown_text(self.judged_on(prefix))} ({rows})"
                for prefix, split in self.splits.items()
                if isinstance(rows := split.get("rows"), int) and rows < FEW_ROWS
            ),
            # what was measured
            "scores": self.score_rows(has_intervals),
            "never_predicted": self.never_predicted(),
            "classes": self.classes(),
            "class_heads": HEADS,
            "confusion": self.confusion,
            "chose": self.named(test=False),
            "tests": self.named(test=True),
            "judged": {key for prefix in self.splits for key, *_ in self.scores(prefix)},
            "bins": self.bins,
            "level": f"{100 * float(self.intervals.get('level', 0.95)):.6g}" if has_intervals else "",
            "resamples": count(self.intervals.get("resamples")),
            "bootstrap_seed": self.intervals.get("seed"),
            "picture": self.picture,
            "coverage": self.coverage(),
            "corrupted": corruption_facts(self.data.get("corrupted") or {}, self.results),
            "ood": ood_rows(self.data.get("ood") or {}, self.results),
            "ood_against": markdown_text(str((self.results.get("ood") or {}).get("against") or "the own data")),
            "hardware": shown_rows(self.hardware()),
            "energy": self.emissions,
            # the temperature
            "divisor": self.divisor,
            "vector": self.vector,
            "folded": self.folded,
            "divide": problem != REGRESSION
            and (self.folded is False if self.vector else self.divisor is not None and not self.folded),
            "fit": fit(self),
            "before_and_after": before_and_after(self),
            "tempered_picture": self.tempered_picture,
            "decision": decided(self),
            "sets": sets(self),
        }  # fmt: skip

    def score_rows(self, with_intervals: bool) -> list[tuple[str, ...]]:
        """Split, rows, score, value, and the interval where any score has one."""
        return [
            (
                markdown_text(self.judged_on(prefix)),
                f"{split['rows']:,}" if split.get("rows") else "–",
                title,
                number(value),
                *([bracketed(self.interval(prefix, metric)) or "–"] if with_intervals else []),
            )
            for prefix, split in self.splits.items()
            for metric, title, value in self.scores(prefix)
        ]

    def never_predicted(self) -> list[tuple[str, str]]:
        """Split, and the line about classes that are never answered there."""
        lines = {prefix: never_predicted(predictions) for prefix, predictions in self.predictions.items()}
        return [(self.judged_on(prefix), line) for prefix, line in lines.items() if line]

    def classes(self) -> list[ClassesOfSplit]:
        """How each class of each split was answered."""
        metrics = tuple(self.data.get("metrics") or ())
        found = [
            classes_of_split(self.judged_on(prefix), predictions, metrics, self.bins)
            for prefix, predictions in self.predictions.items()
        ]
        return [one for one in found if one is not None]

    def coverage(self) -> list[tuple[str, ...]]:
        """Split, share asked for, threshold, share reached and accuracy."""
        return [
            (
                markdown_text(self.judged_on(prefix)),
                f"{wanted:.0%}",
                "none" if wanted == 1 else threshold,
                f"{reached:.1%}",
                f"{accuracy:.4f}",
            )
            for prefix, predictions in self.predictions.items()
            for wanted, threshold, reached, accuracy in coverage_rows(predictions)
        ]

    def settings(self) -> dict[str, Any]:
        """What was set for the training, by name."""
        method, data, rows = self.method, self.data, {}
        if self.trained:
            site, layers = method.get("site"), self.model.get("layers")
            middle = f"middle (layer.{layers // 2} of {layers})" if site == "middle" and layers else site
            rows = {"method": method.get("name"), "source": method.get("source"), "site": middle}
            weights = [method.get(key) for key in ("w_mix", "w_cls", "w_sim")]
            if None not in weights:
                rows["loss"] = "{:g} L_mix + {:g} L_cls + {:g} L_sim".format(*weights)
                if method.get("w_agree"):
                    rows["loss"] += f" + {method['w_agree']:g} L_agree"
            apart = ("name", "idea", "source", "site", "w_mix", "w_cls", "w_sim", "w_agree")
            rows |= {k: v for k, v in method.items() if k not in apart and not isinstance(v, (dict, list))}
        if data.get("image_size") and data.get("mean") and data.get("std"):
            mean, std = (", ".join(f"{value:.4f}" for value in data[key]) for key in ("mean", "std"))
            size = f"{data['image_size']} x {data['image_size']} pixels"
            rows["images"] = f"{size}, {'grey' if data.get('channels') == 1 else 'colour'}"
            rows["normalisation"] = f"mean ({mean}), std ({std}), from {data.get('statistics')}"
            skipped = {name: rows for name, rows in (data.get("skipped") or {}).items() if rows}
            rows["unreadable images left out"] = str(skipped or "")
        cut = ", ".join(f"{count} of {name}" for name, count in (data.get("cut") or {}).items())
        rows["texts cut"] = cut and f"at {data.get('max_length')} tokens: {cut}"
        several = ", ".join(f"{count} of {name}" for name, count in (data.get("in_windows") or {}).items())
        rows["texts in windows"] = several and f"of {data.get('max_length')} tokens: {several}"
        rows |= self.run.get("seeds", {})
        if self.trained:
            rows |= {key: self.arguments[key] for key in TRAINING_ARGUMENTS if key in self.arguments}
            if not isinstance(rows.get("max_steps"), int) or rows["max_steps"] <= 0:
                rows.pop("max_steps", None)  # it overrides the epochs only where it is set
            rows["training rows"] = data.get("train_rows")
        versions = self.run.get("environment", {}).get("versions", {})
        rows["data fingerprint"] = data.get("fingerprint")
        rows["versions"] = ", ".join(f"{key} {value}" for key, value in versions.items() if value is not None)
        return rows

    def hardware(self) -> dict[str, Any]:
        """What is known of the machine and of what the run cost, by name."""
        environment, memory = self.run.get("environment", {}), self.run.get("peak_memory") or {}
        cores, threads = environment.get("cores"), environment.get("threads")
        if cores is not None and threads:
            cores = f"{cores}, {threads} thread{'s' * (threads != 1)} a process"
        costs = {
            "wall-clock time of the run": (self.run.get("seconds"), "{:,.0f} s"),
            "training speed": (self.run.get("examples_per_second"), "{:,.4g} examples/s"),
            "peak memory of the process": (memory.get("process_mb"), "{:,.0f} MB"),
            "peak memory of the device": (memory.get("device_mb"), "{:,.0f} MB"),
        }
        return {
            "device": self.device,
            "processor": environment.get("cpu") if environment.get("device", {}).get("name") else None,
            "cores": cores,
            "processes": environment.get("processes"),
            **{name: form.format(value) for name, (value, form) in costs.items() if value is not None},
        }


def shown_rows(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as cells; a value that is missing has no row."""
    return [
        (name.replace("_", " "), markdown_text(f"{value:g}" if isinstance(value, float) else value))
        for name, value in rows.items()
        if value not in (None, "")
    ]


def is_hub_id(name: str) -> bool:
    """Whether a repository of the Hub could be called so."""
    return bool(re.fullmatch(r"(?=.{1,96}$)\w[\w.-]*(/\w[\w.-]*)?", name))


def hub_data(data: Json) -> str | None:
    """The Hub id of the data set. A folder or a file may be called like one without being one: then None."""
    source = str(data.get("source") or "")
    on_hub = data.get("kind", "hub") == "hub" and "/" in source and is_hub_id(source) and not data.get("synthetic")
    return source if on_hub else None


def sentence(text: str) -> str:
    """With a capital at the front and a full stop at the end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if not text or text.endswith('.') else '.'}"


def quoted(text: str) -> str:
    """As Python and JSON write it."""
    return printable(json.dumps(text, ensure_ascii=False))
