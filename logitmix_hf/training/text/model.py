"""Tokenizer and model of a text classifier, with mistakes told before anything long begins."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForSequenceClassification, PreTrainedModel

from logitmix_hf.errors import UserError, listed
from logitmix_hf.models.pretrained import Pretrained, check_weights, load_weights, told_new
from logitmix_hf.text.data import TextData
from logitmix_hf.text.site_names import resolve_site
from logitmix_hf.training.text.settings import TextModelSettings


def check_depth(config: Any, site: str | None) -> None:
    """Require a site's layers to exist, as far as the configuration tells."""
    layers = getattr(config, "num_hidden_layers", None)
    if site is not None and layers:
        resolve_site(site, layers)


def has_head(config: Any) -> bool:
    """Whether the configuration is that of a classifier, whose head comes with weights."""
    return any("ForSequenceClassification" in name for name in getattr(config, "architectures", None) or ())


def fit_config(config: Any, data: TextData, settings: TextModelSettings) -> Any:
    """Give the configuration the data's labels.

    Raises:
        UserError: when the model already has a head for another number of labels.
    """
    outputs = max(len(data.label_names), 1)
    if has_head(config) and config.num_labels != outputs and not settings.ignore_mismatched_sizes:
        names = listed(list(config.id2label.values()), 10)
        raise UserError(
            f"--model {settings.model} has a head for {config.num_labels} labels ({names}), the data has {outputs}"
            f" ({listed(data.label_names, 10) or 'a value'}): take a model without a head, or replace it by"
            " --ignore_mismatched_sizes."
        )
    config.num_labels = outputs
    config.problem_type = data.problem
    if data.label_names:
        config.id2label = dict(enumerate(data.label_names))
        config.label2id = {name: number for number, name in enumerate(data.label_names)}
    return config


def load_model(source: Pretrained, config: Any, ignore_mismatched_sizes: bool = False) -> tuple[PreTrainedModel, str]:
    """The classifier in float32, with a new head where the model has none, and what is new in words."""
    model, new = load_weights(
        AutoModelForSequenceClassification,
        source,
        config,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        dtype="float32",
    )
    check_weights(source, model, new)
    return model, told_new(source, new)
