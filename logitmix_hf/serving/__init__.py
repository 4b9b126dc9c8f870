"""A trained classifier at work: loaded from wherever it is, predicting rows of any number, exported to ONNX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logitmix_hf.serving.classifier import Classifier, load_classifier
    from logitmix_hf.serving.export import Export, export_onnx

__all__ = ["Classifier", "Export", "export_onnx", "load_classifier"]

_HOMES = {"Classifier": "classifier", "load_classifier": "classifier", "Export": "export", "export_onnx": "export"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
