"""Folders of tiny classifiers."""

from __future__ import annotations

from pathlib import Path

from tiny import CONFIGS, build
from transformers import AutoTokenizer, PreTrainedModel
from visionrun import pictures, tiny_resnet, tiny_vit

__all__ = ["pictures", "text_classifier", "tiny_resnet", "tiny_vit"]


def text_classifier(
    folder: Path, tiny_model: str, model: PreTrainedModel | None = None, names=("up", "down", "level"), **config
) -> Path:
    """A random text classifier with the tokenizer of ``tiny_model``, and these labels."""
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    model = build(CONFIGS["bert"], num_labels=len(names)) if model is None else model
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.config.update(config)
    model.save_pretrained(folder)
    return folder
