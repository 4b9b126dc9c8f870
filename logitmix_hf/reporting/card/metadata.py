"""The metadata of the card: what the Hub reads, indexes and shows beside the model."""

from __future__ import annotations

from typing import Any

from logitmix_hf.reporting.card.facts import Facts, Record, base_model, data_name, hub_data
from logitmix_hf.reporting.card.training import hardware_name
from logitmix_hf.reporting.card.words import BINNED, METRIC_IDS, REFERENCES, TASK_NAMES


def metadata(facts: Facts) -> str:
    """The YAML of the card, written by the Hub's own classes."""
    from huggingface_hub import ModelCardData

    run, data, base = facts.run, facts.data, base_model(facts.run)
    source, named = hub_data(data), [str(metric) for metric in data.get("metrics", ())]
    method = facts.method.get("name")
    # `evaluate` has no module of top-5 accuracy
    headlines = dict.fromkeys(METRIC_IDS.get(metric, metric) for metric in named if metric != "top5_accuracy")
    card = ModelCardData(
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=[source] if source else None,
        eval_results=_results(facts) or None,
        language=run.get("model", {}).get("language"),
        library_name="transformers",
        license="apache-2.0" if run.get("model", {}).get("base") == "builtin" else run.get("model", {}).get("license"),
        metrics=list(headlines) or None,
        model_name=facts.name,
        pipeline_tag=_task(facts),
        tags=["logitmix_hf", "calibration", *(["mixup"] if facts.trained and method != "vanilla" else [])],
    )
    if facts.emissions and facts.emissions["grams"] is not None:
        card["co2_eq_emissions"] = _carbon(facts.emissions, facts)
    return card.to_yaml()


def _task(facts: Facts) -> str:
    return facts.model.get("pipeline_tag", "text-classification")


def _results(facts: Facts) -> list[Any]:
    from huggingface_hub import EvalResult

    data, task, source = facts.data, _task(facts), hub_data(facts.data)
    return [
        EvalResult(
            task_type=task,
            task_name=TASK_NAMES.get(task),
            dataset_type=source or str(data.get("name") or "custom"),
            dataset_name=data_name(data),
            dataset_config=data.get("config") if source else None,
            dataset_split=str(split.get("split", prefix)),
            metric_type=METRIC_IDS.get(metric, metric),
            metric_name=title,
            metric_value=value,
            metric_args={"bins": facts.bins} if metric in BINNED else None,
        )
        for prefix, split in facts.splits.items()
        for metric, title, value in facts.scores(prefix)
        if metric not in REFERENCES
    ]


def _carbon(measured: Record, facts: Facts) -> dict[str, Any]:
    """The Hub's ``co2_eq_emissions``: grams, and where they are from."""
    found = {
        "emissions": float(f"{measured['grams']:.4g}"),
        "source": "codecarbon",
        "training_type": "fine-tuning" if base_model(facts.run) else None,
        "geographical_location": measured.get("place"),
        "hardware_used": hardware_name(facts),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}
