"""A trained classifier at work: loaded from wherever it is, predicting rows of any number, exported to ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logitmix_hf.lazy import lazy_names

if TYPE_CHECKING:
    from logitmix_hf.serving.classifier import Classifier, load_classifier
    from logitmix_hf.serving.export import Export, export_onnx
else:
    __getattr__, __dir__ = lazy_names(
        __name__, {"classifier": ["Classifier", "load_classifier"], "export": ["Export", "export_onnx"]}
    )

__all__ = ["Classifier", "Export", "export_onnx", "load_classifier"]
