"""The metadata of the card: what the Hub reads, indexes and shows beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logitmix_hf.data.roles import HELD_OUT
from logitmix_hf.errors import printable
from logitmix_hf.reporting.card.facts import Facts, hub_data

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

TASK_NAMES = {"text-classification": "Text Classification", "image-classification": "Image Classification"}

BINNED = ("ece", "oe", "mce", "ece_mass", "ece_classwise", "rmsce_debiased")
"""The scores that depend on the number of bins."""

REFERENCES = ("ece_by_chance",)
"""What stands among the scores to read them by, and is none of the model."""

METRIC_IDS = {
    "pearson": "pearsonr",
    "brier": "brier_score",
    "subset_accuracy": "accuracy",
    "top5_accuracy": "top_5_accuracy",
}
"""Where the Hub calls a metric otherwise than we do."""


def metadata(facts: Facts) -> ModelCardData:
    """The metadata, in the Hub's own classes."""
    from huggingface_hub import ModelCardData

    model, source = facts.model, hub_data(facts.data)
    named = [str(metric) for metric in facts.data.get("metrics", ())]
    # `evaluate` has no module of top-5 accuracy
    headlines = dict.fromkeys(METRIC_IDS.get(metric, metric) for metric in named if metric != "top5_accuracy")
    mixes = facts.trained and facts.method.get("name") != "vanilla"
    card = ModelCardData(
        base_model=facts.base_id,
        base_model_relation="finetune" if facts.base_id else None,
        datasets=[source] if source else None,
        eval_results=_results(facts, source) or None,
        language=model.get("language"),
        library_name="transformers",
        license="apache-2.0" if model.get("base") == "builtin" else model.get("license"),
        metrics=list(headlines) or None,
        model_name=printable(facts.name),
        pipeline_tag=_task(facts),
        tags=["logitmix_hf", "calibration", *(["mixup"] if mixes else [])],
    )
    if facts.emissions and facts.emissions["grams"] is not None:
        found = {
            "emissions": float(f"{facts.emissions['grams']:.4g}"),
            "source": "codecarbon",
            "training_type": "fine-tuning" if facts.base_id else None,
            "geographical_location": printable(facts.emissions.get("place") or ""),
            "hardware_used": printable(facts.device or ""),
        }
        card["co2_eq_emissions"] = {key: value for key, value in found.items() if value not in (None, "")}
    return card


def _task(facts: Facts) -> str:
    return facts.model.get("pipeline_tag", "text-classification")


def _results(facts: Facts, source: str | None) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_task(facts),
            task_name=TASK_NAMES.get(_task(facts)),
            dataset_config=facts.data.get("config") if source else None,
            **_judged_on(facts, prefix, source),
            metric_type=METRIC_IDS.get(metric, metric),
            metric_name=title,
            metric_value=value,
            metric_args={"bins": facts.bins} if metric in BINNED else None,
        )
        for prefix in facts.splits
        for metric, title, value in facts.scores(prefix)
        if metric not in REFERENCES
    ]


def _judged_on(facts: Facts, prefix: str, source: str | None) -> dict[str, Any]:
    """Data set and split of a prefix's scores: of own data the very file, of rows held out of train how many and which."""
    split = facts.splits[prefix]
    kind, name, place = source or str(facts.data.get("name") or "custom"), facts.data_name, facts.judged_on(prefix)
    if place == HELD_OUT:
        return {
            "dataset_type": printable(kind),
            "dataset_name": printable(name),
            "dataset_split": "train",
            "dataset_args": {"rows": printable(str(facts.data.get("validation") or HELD_OUT))},
        }
    if facts.data.get("kind") == "file":
        kind, name, place = place.rpartition(".")[0] or place, place, str(split.get("split", prefix))
    return {"dataset_type": printable(kind), "dataset_name": printable(name), "dataset_split": printable(place)}
