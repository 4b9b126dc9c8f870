"""The values that ``card.md.j2`` asks for, from what is known of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from logitmix_hf.errors import printable
from logitmix_hf.evaluation.never_predicted import never_predicted
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION
from logitmix_hf.reporting.card.facts import BUILTIN_MODEL_ID, Facts
from logitmix_hf.reporting.card.tables import (
    before_and_after,
    classes_of_split,
    corruption_facts,
    coverage_rows,
    decided,
    fit,
    ood_rows,
    sets,
)
from logitmix_hf.reporting.class_lines import HEADS
from logitmix_hf.reporting.numbers import bracketed, count, number
from logitmix_hf.tables import markdown_block, markdown_code, markdown_table, markdown_text

FEW_ROWS = 200
"""Below this many rows the calibration measures of 15 bins are mostly chance: about 13 rows a bin."""

TRAINING_ARGUMENTS = (
    *("alpha", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_length", "optim"),
    *("momentum", "nesterov", "lr_milestones", "lr_gamma", "ema", "bn_mode", "mix_schedule", "mixer_probs"),
    "mixer_options",
)
"""The arguments of a run that its card shows; all of them are in run.json."""


AS_KNOWN = (
    *("name", "location", "base_id", "trained", "confusion", "bins", "picture", "divisor", "vector", "folded"),
    "tempered_picture",
)
"""What the template takes from the facts as it is."""


def card_values(facts: Facts) -> dict[str, Any]:
    """What ``card.md.j2`` asks for, by the names that it calls them."""
    problem, name = facts.data.get("problem"), str(facts.method.get("name"))
    labels = [markdown_code(label) for label in facts.data.get("label_names") or ()]
    columns, parameters = facts.data.get("columns") or (), facts.model.get("parameters")
    metrics = tuple(facts.data.get("metrics") or ())
    selects = facts.trained and facts.arguments.get("load_best_model_at_end")
    has_intervals = any(facts.interval(prefix, key) for prefix in facts.splits for key, *_ in facts.scores(prefix))
    return {
        "text": markdown_text, "code": markdown_code, "block": markdown_block, "table": markdown_table,
        "quoted": quoted, **{name: getattr(facts, name) for name in AS_KNOWN},
        # the model
        "base": facts.model.get("base"),
        "contrastive": facts.base_id == BUILTIN_MODEL_ID,
        "random_weights": facts.model.get("pretrained") is False,
        "own_network": facts.model.get("type") == "logitmix_convnet",  # which transformers has to be told of
        "parameters": f"{parameters / 1e6:.1f}" if parameters else "",
        "images": facts.model.get("pipeline_tag") == "image-classification",
        "image_size": facts.model.get("image_size"),
        # the method
        "method": name,
        "idea": sentence(str(facts.method.get("idea") or "")),
        "mixes": facts.trained and name != "vanilla",
        "logitmix": "logitmix" in name,
        "command": facts.run.get("command"),
        "settings": shown_rows(settings(facts)),
        "selected_by": (facts.arguments.get("metric_for_best_model") or "loss") if selects else "",
        # the data
        "data": facts.data_name,
        "task": str(facts.data.get("name")).lower().split("_")[0],
        "synthetic": facts.data.get("synthetic"),
        "labels": ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else ""),
        "pairs": len(columns) == 2,
        "windows": facts.arguments.get("long_texts") == "windows" or bool(facts.data.get("in_windows")),
        "regression": problem == REGRESSION,
        "several_labels": problem == MULTI,
        "validation": facts.data.get("validation"),
        "subset": sentence(str(facts.data.get("subset") or "")),
        "few_rows": ", ".join(
            f"{markdown_text(facts.judged_on(prefix))} ({rows})"
            for prefix, split in facts.splits.items()
            if isinstance(rows := split.get("rows"), int) and rows < FEW_ROWS
        ),
        # what was measured
        "scores": score_rows(facts, has_intervals),
        "never_predicted": [
            (facts.judged_on(prefix), line)
            for prefix, predictions in facts.predictions.items()
            if (line := never_predicted(predictions))
        ],
        "classes": [
            found
            for prefix, predictions in facts.predictions.items()
            if (found := classes_of_split(facts.judged_on(prefix), predictions, metrics, facts.bins)) is not None
        ],
        "class_heads": HEADS,
        "chose": facts.named(test=False),
        "tests": facts.named(test=True),
        "judged": {key for prefix in facts.splits for key, *_ in facts.scores(prefix)},
        "level": f"{100 * float(facts.intervals.get('level', 0.95)):.6g}" if has_intervals else "",
        "resamples": count(facts.intervals.get("resamples")),
        "bootstrap_seed": facts.intervals.get("seed"),
        "coverage": coverage(facts),
        "corrupted": corruption_facts(facts.data.get("corrupted") or {}, facts.results),
        "ood": ood_rows(facts.data.get("ood") or {}, facts.results),
        "ood_against": markdown_text(str((facts.results.get("ood") or {}).get("against") or "the own data")),
        "hardware": shown_rows(hardware(facts)),
        "energy": facts.emissions,
        # the temperature
        "divide": problem != REGRESSION
        and (facts.folded is False if facts.vector else facts.divisor is not None and not facts.folded),
        "fit": fit(facts),
        "before_and_after": before_and_after(facts),
        "decision": decided(facts),
        "sets": sets(facts),
    }  # fmt: skip


def score_rows(facts: Facts, with_intervals: bool) -> list[tuple[str, ...]]:
    """Split, rows, score, value, and the interval where any score has one."""
    return [
        (
            markdown_text(facts.judged_on(prefix)),
            f"{split['rows']:,}" if split.get("rows") else "–",
            title,
            number(value),
            *([bracketed(facts.interval(prefix, metric)) or "–"] if with_intervals else []),
        )
        for prefix, split in facts.splits.items()
        for metric, title, value in facts.scores(prefix)
    ]


def coverage(facts: Facts) -> list[tuple[str, ...]]:
    """Split, share asked for, threshold, share reached and accuracy."""
    return [
        (
            markdown_text(facts.judged_on(prefix)),
            f"{wanted:.0%}",
            "none" if wanted == 1 else threshold,
            f"{reached:.1%}",
            f"{accuracy:.4f}",
        )
        for prefix, predictions in facts.predictions.items()
        for wanted, threshold, reached, accuracy in coverage_rows(predictions)
    ]


def settings(facts: Facts) -> dict[str, Any]:
    """What was set for the training, by name."""
    method, data, rows = facts.method, facts.data, {}
    if facts.trained:
        site, layers = method.get("site"), facts.model.get("layers")
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
    rows |= facts.run.get("seeds", {})
    if facts.trained:
        rows |= {key: facts.arguments[key] for key in TRAINING_ARGUMENTS if key in facts.arguments}
        if not isinstance(rows.get("max_steps"), int) or rows["max_steps"] <= 0:
            rows.pop("max_steps", None)  # it overrides the epochs only where it is set
        rows["training rows"] = data.get("train_rows")
    versions = facts.run.get("environment", {}).get("versions", {})
    rows["data fingerprint"] = data.get("fingerprint")
    rows["versions"] = ", ".join(f"{key} {value}" for key, value in versions.items() if value is not None)
    return rows


def hardware(facts: Facts) -> dict[str, Any]:
    """What is known of the machine and of what the run cost, by name."""
    environment, memory = facts.run.get("environment", {}), facts.run.get("peak_memory") or {}
    cores, threads = environment.get("cores"), environment.get("threads")
    if cores is not None and threads:
        cores = f"{cores}, {threads} thread{'s' * (threads != 1)} a process"
    costs = {
        "wall-clock time of the run": (facts.run.get("seconds"), "{:,.0f} s"),
        "training speed": (facts.run.get("examples_per_second"), "{:,.4g} examples/s"),
        "peak memory of the process": (memory.get("process_mb"), "{:,.0f} MB"),
        "peak memory of the device": (memory.get("device_mb"), "{:,.0f} MB"),
    }
    return {
        "device": facts.device,
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


def sentence(text: str) -> str:
    """With a capital at the front and a full stop at the end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if not text or text.endswith('.') else '.'}"


def quoted(text: str) -> str:
    """As Python and JSON write it."""
    return printable(json.dumps(text, ensure_ascii=False))
