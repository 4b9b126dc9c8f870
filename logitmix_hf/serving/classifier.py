"""Any text or image classifier, of the Hub, a folder or a run, behind one small interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

import logitmix_hf.ensembles  # noqa: F401  makes our networks and ensembles known to the Auto classes
from logitmix_hf.errors import UserError, check_choice, listed, pick
from logitmix_hf.evaluation.predictions import PROBLEMS, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.scaling import NONE, Scaling
from logitmix_hf.evaluation.sets import Sets
from logitmix_hf.evaluation.thresholds import Thresholds
from logitmix_hf.modality import IMAGE, TEXT
from logitmix_hf.models.folding import recorded, scaling_left
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.pretrained import Pretrained, explained, find_pretrained, load_config, load_weights
from logitmix_hf.models.tokenizer import UNLIMITED, check_length, encode, load_tokenizer, usual_length
from logitmix_hf.models.windows import WindowCollator, Windowed, check_splits, encode_windows
from logitmix_hf.reporting.folder import record_of
from logitmix_hf.serving.host import DTYPES, usable_device

_WHAT = {TEXT: "a text classifier", IMAGE: "an image classifier"}
_ARCHITECTURES = {"ForSequenceClassification": TEXT, "ForImageClassification": IMAGE}


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier ready to predict, in evaluation mode.

    name:        as it was asked for.
    processor:   tokenizer (text) or image processor (image).
    modality:    "text" or "image".
    label_names: C names in the order of the logits; none for a regression.
    problem:     SINGLE, MULTI or REGRESSION of :mod:`logitmix_hf.evaluation.predictions`.
    scaling:     what :meth:`logits` calibrates by. Nothing unless ``config.json`` has a temperature or a vector scaling
                 that was not folded into the weights.
    thresholds:  where yes begins, as ``config.json`` has it; None: at a half, and of classes the likeliest.
    sets:        what sets of classes are made by; None where the model kept no rows for that.
    columns:     the text columns that a run was trained on; () where that is not known.
    max_length:  tokens that a text is cut to.
    windows:     what longer texts are read in, and pooled; None: they are cut.
    max_pixels:  a larger image is not decoded.
    """

    name: str
    model: PreTrainedModel
    processor: Any
    modality: str
    label_names: tuple[str, ...]
    problem: str
    scaling: Scaling = NONE
    columns: tuple[str, ...] = ()
    max_length: int = UNLIMITED
    max_pixels: int = 100_000_000
    thresholds: Thresholds | None = None
    sets: Sets | None = None
    windows: Windows | None = None

    def logits(self, inputs: Sequence[Any], calibrated: bool = True) -> np.ndarray:
        """(B, C) float32 logits of one batch, in its order.

        Args:
            inputs: texts, pairs of texts (two-tuples), or Pillow images.
            calibrated: by the temperature or vector scaling; False: as the network gives them.
        """
        return self.forward(self.prepare(inputs), calibrated)

    def forward(self, prepared: Any, calibrated: bool = True) -> np.ndarray:
        """As :meth:`logits`, of what :meth:`prepare` made."""
        with torch.inference_mode():
            batch = prepared.to(self.model.device)
            if (windows := Windowed.of(batch)) is None:
                logits = self.model(**batch).logits.float()
            else:  # a long text is many rows: never more at once than the batch has
                each = [self.model(**part).logits.float() for part in windows.parts(len(windows.there))]
                logits = windows.pool(torch.cat(each))
        return (self.scaling.apply(logits) if calibrated else logits).cpu().numpy()

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """(B, C) float64 calibrated probabilities of one batch: softmax, or for multi-label each label's sigmoid.

        Raises:
            UserError: for a regression, which has none.
        """
        return Predictions(self.logits(inputs), None, self.label_names, self.problem).probabilities

    def prepare(self, inputs: Sequence[Any]) -> Any:
        """The network's inputs as tensors: texts tokenised, cut to ``max_length`` (or split into windows of it) and
        padded to the longest of the batch; images as the processor has it. Floating point comes in the weights' type."""
        if self.modality == IMAGE:
            made = self.processor(images=list(inputs), return_tensors="pt")
            return made.to(self.model.dtype)
        texts = list(zip(*inputs, strict=True)) if isinstance(inputs[0], tuple) else [inputs]
        if self.windows is None:
            made, _ = encode(self.processor, texts, self.max_length)
        else:
            made, _ = encode_windows(self.processor, texts, self.windows)
        rows = [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]
        return (DataCollatorWithPadding if self.windows is None else WindowCollator)(self.processor)(rows)


@dataclass(frozen=True)
class FoundClassifier:
    """A classifier of which nothing but its configuration has been fetched; :meth:`load` gives the rest.

    trained: of a run's folder, the arguments that it was trained with.
    """

    name: str
    source: Pretrained
    config: Any
    modality: str
    problem: str
    label_names: tuple[str, ...]
    scaling: Scaling
    columns: tuple[str, ...]
    trained: Mapping[str, Any]
    thresholds: Thresholds | None = None
    sets: Sets | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, as it fits the model."""
        return load_tokenizer(self.source, self.config)

    def max_length(self, asked: int | None = None) -> int:
        """Tokens that a text is cut to: as asked for, else as trained, else what tokenizer and model take.

        Raises:
            UserError: for more than the model reads.
        """
        windows = Windows.read(self.config)
        trained = self.trained.get("max_length") if windows is None else windows.max_length
        made = asked or trained or usual_length(self.tokenizer, self.config)
        check_length(made, self.config, self.name)
        return made

    def load(self, device: str | None = None, dtype: str = "float32", max_length: int | None = None) -> Classifier:
        """The classifier ready to predict; see :func:`load_classifier`."""
        if max_length is not None and self.modality != TEXT:
            raise UserError(f"--max_length is for texts, and --model {self.name} reads {self.modality}s: leave it out.")
        check_choice("dtype", dtype, DTYPES)
        weights, where = getattr(torch, dtype), usable_device(device)
        processor = self.tokenizer if self.modality == TEXT else _image_processor(self.source)
        length = self.max_length(max_length) if self.modality == TEXT else 0
        windows = Windows.read(self.config, length) if self.modality == TEXT else None
        if windows is not None:
            check_splits(processor)
        model: Any = _load_model(self.source, self.config, self.modality, weights)
        return Classifier(
            self.name,
            model.to(where).eval(),
            processor,
            self.modality,
            self.label_names,
            self.problem,
            self.scaling,
            self.columns,
            length,
            thresholds=self.thresholds,
            sets=self.sets,
            windows=windows,
        )


def find_classifier(name: str, revision: str = "main", token: str | None = None) -> FoundClassifier:
    """What can be known of a classifier at the price of its configuration; see :func:`load_classifier`."""
    source = find_pretrained(name, revision, token, what="a classifier", go_on="give a local folder by --model")
    config = load_config(source)
    modality, record = _modality(name, config), record_of(Path(source.path)) or {}
    columns = record.get("data", {}).get("columns") or () if modality == TEXT else ()
    problem = _problem(name, config)
    names = [] if problem == REGRESSION else [str(config.id2label.get(k, k)) for k in range(config.num_labels)]
    return FoundClassifier(
        name,
        source,
        config,
        modality,
        problem,
        tuple(names),
        scaling_left(config),
        tuple(columns),
        record.get("arguments") or {},
        Thresholds.read(recorded(config).get("decision"), names),
        Sets.read(recorded(config).get("sets")),
    )


def load_classifier(
    name: str, revision: str = "main", token: str | None = None, device: str | None = None, dtype: str = "float32"
) -> Classifier:
    """The classifier called ``name``: a Hub id, a local folder, or the folder of a run.

    A run says which text columns and how many tokens it was trained on. A temperature that ``config.json`` keeps
    unfolded is applied to the logits.

    Args:
        revision: branch, tag or commit on the Hub.
        token: of the Hub; default the one you logged in with.
        device: "cpu", "cuda", "cuda:1", "mps" …; default an accelerator where there is one.
        dtype: a name in :data:`DTYPES` for the weights. Logits come in float32 all the same.

    Raises:
        UserError: when there is no such model, it is no classifier of texts or images, has no trained head, comes
            without tokenizer or image processor, or for an unknown device or type.
    """
    check_choice("dtype", dtype, DTYPES)
    return find_classifier(name, revision, token).load(device, dtype)


def _modality(name: str, config: Any) -> str:
    """Text or image, by the saved architecture, or by the type where a classifier is the only thing it can be."""
    architectures = [str(one) for one in getattr(config, "architectures", None) or ()]
    for ending, modality in _ARCHITECTURES.items():
        if any(one.endswith(ending) for one in architectures):
            return modality
    if config.model_type == "timm_wrapper":
        return IMAGE
    known = {TEXT: MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, IMAGE: MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES}
    fitting = [modality for modality, types in known.items() if config.model_type in types]
    if architectures or len(fitting) != 1:
        what = listed(architectures) if architectures else f"a model of the type {config.model_type!r}"
        raise UserError(
            f"--model {name!r} holds {what}, no classifier of texts or images: give one that was trained as such"
            " (…ForSequenceClassification or …ForImageClassification)."
        )
    return fitting[0]


def _image_processor(source: Pretrained) -> Any:
    try:
        return AutoImageProcessor.from_pretrained(source.path, **source.options())
    except Exception as problem:  # many kinds; explained() tells them apart
        error = explained(source, problem)
        if "preprocessor_config" not in str(problem) and "image processor" not in str(problem):
            raise error from problem
        raise UserError(
            f"--model {source.name!r} comes without an image processor that can be read (preprocessor_config.json), so how"
            " to prepare an image for it is not known: save one beside it."
        ) from problem


def _load_model(source: Pretrained, config: Any, modality: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model with every weight of it from the file."""
    kind = AutoModelForSequenceClassification if modality == TEXT else AutoModelForImageClassification
    model, missing = load_weights(kind, source, config, dtype=dtype)
    if missing:
        raise UserError(
            f"--model {source.name!r} is not trained as {_WHAT[modality]}: its file has no weights for"
            f" {listed(missing, 3)}. Train it first (logitmix {'glue' if modality == TEXT else 'vision'} --model …)."
        )
    return model


def _problem(name: str, config: Any) -> str:
    """As the configuration says, else as transformers would train it: one output is a value, several are classes."""
    problem_type = getattr(config, "problem_type", None)
    if problem_type is None:
        return REGRESSION if config.num_labels == 1 else SINGLE
    problem = pick(PROBLEMS, problem_type, f"problem_type in config.json of {name!r}, which")
    if problem == REGRESSION and config.num_labels != 1:
        raise UserError(
            f"--model {name!r} is a regression with {config.num_labels} outputs; one value a row is what can be told."
        )
    return problem
