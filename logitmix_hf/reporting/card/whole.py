"""The model card: what the model is, how it was trained, whether its confidence can be believed, and its limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION
from logitmix_hf.reporting.card.images import images_read, is_image, is_untrained, network, quoted, use_images
from logitmix_hf.reporting.card.words import (
    BUILTIN_MODEL_ID,
    CITATIONS,
    METRIC_IDS,
    PAIR_TASKS_SEEN,
    SCORE_NAMES,
    TASK_NAMES,
    TRAINING_ARGUMENTS,
)
from logitmix_hf.reporting.redact import scrub

Record = Mapping[str, Any]


def model_card(
    run: Record,
    results: Mapping[str, Any],
    *,
    name: str,
    location: str,
    method: Record | None = None,
    picture: str | None = "reliability.png",
    bins: int = 15,
) -> str:
    """The card as the text of a README.md, with metadata that the Hub's own classes read back.

    Args:
        run: content of ``run.json``; the table in ``record`` says what is where. ``data.splits`` maps a prefix of the
            results' keys (``eval``, ``eval_mm``) to ``{"split": name, "rows": count}``.
        results: content of ``eval_results.json``; values that are not finite are left out.
        name: of the model, as its title.
        location: what ``pipeline(model=…)`` takes: the Hub id, or the folder.
        method: the method's row as a dict (``name``, ``idea``, ``source``); by default what ``run["method"]`` says.
        picture: file name of the reliability plot, None for none.
        bins: the bins that ECE and OE in ``results`` were computed with.
    """
    from huggingface_hub import ModelCard

    method = {**run.get("method", {}), **(method or {})}
    data = run.get("data", {})
    classification = data.get("problem") != REGRESSION
    parts = [
        f"# {name}",
        _what(run, data, method),
        "## Use",
        use_images(run, location) if is_image(run) else _use(data, location),
        "## Results",
        _results(run, results, data, bins if classification else None),
    ]
    if picture and classification:
        parts += [f"![Reliability: accuracy against confidence, with the number of examples in each bin]({picture})"]
    parts += ["## Training", _training(run, method), "## Limits", _limits(run, data, classification)]
    parts += ["## Citation", _citation(method, is_image(run))]
    text = scrub("\n\n".join(part for part in parts if part))
    return str(ModelCard(f"---\n{_metadata(run, results, data, method, name)}\n---\n\n{text}\n"))


def relocated(card: str, location: str) -> str:
    """The card with its lines of use loading from ``location``: the folder at home, the repository on the Hub."""
    call = r'(pipeline\("(?:text|image)-classification", model=)"(?:[^"\\]|\\.)*"'
    return re.sub(call, lambda found: found[1] + quoted(location), card)


def _scores(results: Mapping[str, Any], prefix: str, data: Record) -> Iterator[tuple[str, str, float]]:
    """Key, name and value of the finite scores under one prefix: headline metrics first, then in a report's order."""
    for metric in dict.fromkeys((*data.get("metrics", ()), *SCORE_NAMES)):
        value = results.get(f"{prefix}_{metric}")
        if value is not None and math.isfinite(float(value)):
            yield metric, SCORE_NAMES.get(metric, metric.replace("_", " ")), float(value)


def _splits(data: Record) -> Mapping[str, Record]:
    return data.get("splits") or {"eval": {"split": "validation"}}


def _base(run: Record) -> str | None:
    """The Hub id of the base model, or None for a local folder."""
    base = str(run.get("model", {}).get("base") or "")
    if is_untrained(run):
        return None
    if base == "builtin":
        return BUILTIN_MODEL_ID
    return base if _is_hub_id(base) else None


def _is_hub_id(name: str) -> bool:
    return bool(re.fullmatch(r"(?=.{1,96}$)\w[\w.-]*(/\w[\w.-]*)?", name))


def _metadata(run: Record, results: Mapping[str, Any], data: Record, method: Record, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    source, base = str(data.get("source") or ""), _base(run)
    # A folder or a file may be called like a data set of the Hub without being one.
    on_hub = data.get("kind", "hub") == "hub" and "/" in source and _is_hub_id(source) and not data.get("synthetic")
    task = run.get("model", {}).get("pipeline_tag", "text-classification")
    found = [
        EvalResult(
            task_type=task,
            task_name=TASK_NAMES.get(task),
            dataset_type=source if on_hub else str(data.get("name") or "custom"),
            dataset_name=_data_name(data),
            dataset_config=data.get("config") if on_hub else None,
            dataset_split=str(split.get("split", prefix)),
            metric_type=METRIC_IDS.get(metric, metric),
            metric_name=title,
            metric_value=value,
        )
        for prefix, split in _splits(data).items()
        for metric, title, value in _scores(results, prefix, data)
    ]
    named = [str(metric) for metric in data.get("metrics", ()) if metric != "top5_accuracy"]  # no module of `evaluate`
    headlines = dict.fromkeys(METRIC_IDS.get(metric, metric) for metric in named)
    card = ModelCardData(
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=[source] if on_hub else None,
        eval_results=found or None,
        language=run.get("model", {}).get("language"),
        library_name="transformers",
        license="apache-2.0" if run.get("model", {}).get("base") == "builtin" else run.get("model", {}).get("license"),
        metrics=list(headlines) or None,
        model_name=name,
        pipeline_tag=task,
        tags=["logitmix_hf", "calibration", *(["mixup"] if method.get("name") not in (None, "vanilla") else [])],
    )
    return card.to_yaml()


def _data_name(data: Record) -> str:
    name, source = data.get("name"), data.get("source")
    if data.get("synthetic"):
        return f"{name} (synthetic, generated by logitmix_hf)"
    if not source or not name or name in (source, source.rpartition("/")[2], source.rpartition(".")[0]):
        return str(source or name or "custom")  # "reviews.csv", not "reviews of reviews.csv"
    return f"{name} of {source}"


def _what(run: Record, data: Record, method: Record) -> str:
    base, local = _base(run), run.get("model", {}).get("base")
    start = f"[`{base}`](https://huggingface.co/{base})" if base else f"`{local}`"
    if local == "builtin":
        start += " (the MiniLM-L6 weights that `--model builtin` installs)"
    labels = [f"`{label}`" for label in data.get("label_names") or ()]
    listed = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    says = f" It tells apart {listed}." if labels else ""
    if data.get("problem") == MULTI:
        says = f" It says yes or no to each of {listed}."
    if data.get("problem") == REGRESSION:
        says = " It gives one number."
    idea = f" {_sentence(method['idea'])}" if method.get("idea") else ""
    if is_untrained(run):
        return f"{network(run)}, trained on {_data_name(data)} with the method `{method.get('name')}`.{idea}{says}"
    return f"{start}, fine-tuned on {_data_name(data)} with the method `{method.get('name')}`.{idea}{says}"


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _use(data: Record, location: str) -> str:
    columns = data.get("columns") or ("text",)
    example = {"text": "The first text.", "text_pair": "The second text."} if len(columns) == 2 else "Some text."
    # Regression must not be squashed into (0, 1); several labels need the sigmoid, which the config asks for.
    extra = ", top_k=None" + (', function_to_apply="none"' if data.get("problem") == REGRESSION else "")
    shown = repr(example).replace("'", '"')
    return (
        "```python\nfrom transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model={quoted(location)}{extra})\n'
        f"print(classify({shown}))\n```"
    )


def _results(run: Record, results: Mapping[str, Any], data: Record, bins: int | None) -> str:
    lines = ["| split | rows | score | value |", "| --- | ---: | --- | ---: |"]
    for prefix, split in _splits(data).items():
        rows = split.get("rows")
        for _, title, value in _scores(results, prefix, data):
            count = f"{rows:,}" if rows else "–"
            lines.append(f"| {split.get('split', prefix)} | {count} | {title} | {value:.4f} |")
    notes = []
    if bins is not None:
        notes.append(
            f"ECE and OE: {bins} equal-width bins of the largest probability, each open on the left and closed on the "
            "right (0 falls in the first); OE counts only bins where confidence exceeds accuracy, weighted by "
            "confidence. The confidence gap is mean confidence minus accuracy: above 0 is over-confident. NLL is in "
            "nats; Brier is summed over classes."
        )
    if any(key.endswith("true_calibration_error") for key in results):
        notes.append(
            "The true calibration error is the mean distance of the confidence from the true probability of the "
            "predicted class, which is known because the data was generated; the Bayes accuracy is what the best "
            "possible classifier would reach."
        )
    notes.append(_selection(run))
    if data.get("validation"):
        notes.append(f"Judged on: {data['validation']}.")
    if data.get("subset"):
        notes.append(f"**These are not scores on the full data:** {_sentence(str(data['subset']))}")
    return "\n".join(lines) + "\n\n" + "\n\n".join(notes)


def _selection(run: Record) -> str:
    arguments = run.get("arguments", {})
    if arguments.get("load_best_model_at_end"):
        by = arguments.get("metric_for_best_model") or "loss"
        return (
            f"**The checkpoint was selected on this split** (the best `{by}`), so the scores are better than on new "
            "data of the same kind."
        )
    return "The scores are those of the last step of training; no checkpoint was selected on this split."


def _training(run: Record, method: Record) -> str:
    arguments, environment = run.get("arguments", {}), run.get("environment", {})
    weights = {name: method.get(name) for name in ("w_mix", "w_cls", "w_sim")}
    rows: dict[str, Any] = {"method": method.get("name"), "source": method.get("source"), "site": _site(run, method)}
    if all(value is not None for value in weights.values()):
        rows["loss"] = f"{weights['w_mix']:g} L_mix + {weights['w_cls']:g} L_cls + {weights['w_sim']:g} L_sim"
    shown = ("name", "idea", "source", "site", "w_mix", "w_cls", "w_sim")
    rows |= {key: value for key, value in method.items() if key not in shown and not isinstance(value, (dict, list))}
    rows |= images_read(run.get("data", {})) if is_image(run) else {}
    rows |= run.get("seeds", {})
    rows |= {key: arguments[key] for key in TRAINING_ARGUMENTS if key in arguments}
    if not isinstance(rows.get("max_steps"), int) or rows["max_steps"] <= 0:
        rows.pop("max_steps", None)  # it overrides the epochs only where it is set
    rows["training rows"] = run.get("data", {}).get("train_rows")
    rows["data fingerprint"] = run.get("data", {}).get("fingerprint")
    device = environment.get("device", {})
    rows["device"] = device.get("name") or environment.get("cpu")
    rows["seconds"] = None if run.get("seconds") is None else round(run["seconds"])
    versions = environment.get("versions", {})
    rows["versions"] = ", ".join(f"{key} {versions[key]}" for key in versions if versions[key] is not None)
    table = ["| | |", "| --- | --- |"]
    table += [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items() if value not in (None, "")]
    command = run.get("command")
    return (f"```bash\n{command}\n```\n\n" if command else "") + "\n".join(table)


def _site(run: Record, method: Record) -> str | None:
    """The site as the flag calls it, with the layer that ``middle`` means in this model."""
    site, layers = method.get("site"), run.get("model", {}).get("layers")
    return f"middle (layer.{layers // 2} of {layers})" if site == "middle" and layers else site


def _cell(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) and not isinstance(value, bool) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _limits(run: Record, data: Record, classification: bool) -> str:
    points = []
    if classification:
        points.append(
            "Calibration was measured on the split above. On data of another kind, or with other shares of the labels, "
            "probabilities can be off; measure again before acting on them."
        )
    points.append("One run with one seed: another seed gives other numbers; differences of this size may be chance.")
    if data.get("synthetic"):
        points.append(
            "The data is synthetic: sentences from a small grammar with known label noise, made to study calibration. "
            "The model is of no use on real text."
        )
    if _base(run) == BUILTIN_MODEL_ID:
        seen = PAIR_TASKS_SEEN.get(str(data.get("name")).lower().split("_")[0])
        points.append(
            "The base model was trained contrastively on text that includes SNLI, MultiNLI and QQP"
            + (f"; {seen}." if seen else ".")
        )
    whose = "of the data" if is_untrained(run) else "of the base model and of the data"
    points.append(f"Biases {whose} are in this model too.")
    return "\n".join(f"- {point}" for point in points)


def _citation(method: Record, images: bool) -> str:
    keys = ["logitmix"] if "logitmix" in str(method.get("name")) else []
    if method.get("name") not in (None, "vanilla"):
        keys.append("mixup" if images else "mixup_transformer")
    if not keys:
        return "Trained and measured with `logitmix_hf`; the measures are those of the LogitMix paper:\n\n" + (
            f"```bibtex\n{CITATIONS['logitmix']}\n```"
        )
    return "```bibtex\n" + "\n\n".join(CITATIONS[key] for key in keys) + "\n```"
