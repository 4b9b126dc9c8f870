"""A page to try a classifier: one field for each of its inputs, what it says, and how sure it is."""

from __future__ import annotations

import os
from typing import Any

from logitmix_hf.evaluation.predictions import REGRESSION
from logitmix_hf.modality import TEXT
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.classifier import Classifier
from logitmix_hf.serving.inputs import InputRow


def with_page(app: Any, classifier: Classifier) -> Any:
    """The application of :func:`logitmix_hf.serving.server.make_app` with the page at ``/ui``."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    if classifier.modality == TEXT:
        fields: list[Any] = [gradio.Textbox(label=name, lines=3) for name in classifier.columns or ("text",)]
    else:
        fields = [gradio.Image(type="pil", label="image")]
    told: list[Any] = [gradio.Textbox(label="answer")]
    if classifier.problem != REGRESSION:
        told.append(gradio.Label(num_top_classes=10, show_heading=False, label="probabilities"))
    title = classifier.name.rstrip("/").rpartition("/")[2]
    page = gradio.Interface(lambda *given: asked(classifier, *given), fields, told, title=title, flagging_mode="never")
    return gradio.mount_gradio_app(app, page, path="/ui")


def asked(classifier: Classifier, first: Any, *others: Any) -> Any:
    """What the page shows of one input: the answer of ``logitmix predict``, thresholds included, and beside it the probability
    of each label; for a regression the answer alone."""
    each = classifier.problem != REGRESSION
    answers = Answers(classifier.problem, classifier.label_names, each=each, thresholds=classifier.thresholds)
    value = (first, *others) if others else first
    if first is None or first == "":
        return ("", {}) if each else ""
    (row,) = answers.of([InputRow(0, "", value)], classifier.logits([value]))
    if not each:
        return f"{row['value']:.4g}"
    said = row["label"] if "label" in row else ", ".join(row["labels"])
    return said, {name: row[f"p_{name}"] for name in classifier.label_names}
