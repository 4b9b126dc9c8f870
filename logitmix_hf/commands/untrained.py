"""What ``logitmix calibrate`` judges: a classifier that somebody else trained, on rows whose labels are matched to its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor

from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import REGRESSION
from logitmix_hf.serving.classifier import FoundClassifier
from logitmix_hf.text.data import TextRequest
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.training.text.job import TextJob
from logitmix_hf.training.vision.job import VisionJob
from logitmix_hf.vision.data import ImageRequest


class Untrained(Job):
    """What calibrating text and image classifiers has in common."""

    compares = True
    found: FoundClassifier
    names: tuple[str, ...] = ()  # what a model that names its classes LABEL_0 … calls them from now on

    @property
    def label(self) -> str:
        return str(self.model.model).rstrip("/").rpartition("/")[2]

    @property
    def title(self) -> str:
        return f"{self.name}, {self.label}"

    @property
    def saves(self) -> bool:
        return self.run.save  # type: ignore[attr-defined]

    def load(self) -> Loaded:
        loaded = super().load()  # type: ignore[safe-super]  # that of text or images
        if self.names:
            loaded.model.config.id2label = dict(enumerate(self.names))
            loaded.model.config.label2id = {name: number for number, name in enumerate(self.names)}
        return loaded

    def check_model(self, token: str | None) -> None:
        if self.found.problem == REGRESSION:
            raise UserError(
                f"--model {self.found.name} is a regression: it gives a value and no probability, so there is nothing to"
                " calibrate. Take a classifier."
            )
        super().check_model(token)  # type: ignore[safe-super]  # that of text or images

    def aligned(self, data: Any) -> Any:
        """The data with the labels of the model."""
        if data.problem != self.found.problem:
            raise UserError(
                f"--model {self.found.name} is made for {_spoken(self.found.problem)}, {data.name} is"
                f" {_spoken(data.problem)}: take a model and data of one kind."
            )
        match = match_labels(self.found.label_names, data.label_names)
        self.names = match.names
        for note in (match.note, known_rows(self.found.trained, asdict(self.data), data.validation_note)):
            if note and self.training.process_index == 0:
                say(note)
        return data.relabelled(self.found.label_names, match.numbers)


def known_rows(trained: Mapping[str, Any], given: Mapping[str, Any], note: str) -> str:
    """What speaks for the model knowing the judged rows from its training, in one line, or "".

    Args:
        trained: the arguments of the run that trained it; empty where they are not known.
        given: those of the data that is judged. note: where its rows come from.
    """
    pairs = [("train_file", "validation_file"), ("train_file", "calibration_file")]
    if note == f"the folder {Path(str(given.get('dataset'))).resolve().name}":  # not one of val or test in it
        pairs.append(("dataset", "dataset"))
    for own, other in pairs:
        if _same_place(trained.get(own), given.get(other)):
            return (
                f"The model was trained on --{other} {given[other]}: it knows these rows, and scores and temperature"
                " flatter it. Give others."
            )
    if note in ("the split train", "the folder train"):
        return f"{note.capitalize()} is judged, for want of another: if the model was trained on it, that flatters it."
    return ""


def _same_place(one: Any, other: Any) -> bool:
    try:
        return bool(one and other) and os.path.samefile(expanded(one), expanded(other))
    except OSError:
        return False


def _spoken(problem: str) -> str:
    return problem.replace("_", " ").replace("label classification", "label rows")


class CalibrateText(Untrained, TextJob):
    """A text classifier."""

    @property
    def request(self) -> TextRequest:
        own = super().request
        columns = own.text_columns or (self.found.columns if not own.task else None) or None
        return replace(own, validation_share=0.0, hold_out=None, text_columns=columns, training=False)


class CalibrateImages(Untrained, VisionJob):
    """An image classifier."""

    def load(self) -> Loaded:
        loaded = super().load()
        source = self.found.source
        if getattr(loaded.model.config, "num_channels", None) == 1:  # the copy takes colour
            return loaded
        try:  # the copy prepares images as the model does
            return replace(loaded, processor=AutoImageProcessor.from_pretrained(source.path, **source.options()))
        except Exception:  # a folder of weights alone gets the one that judged it
            return loaded

    @property
    def request(self) -> ImageRequest:
        return replace(super().request, validation_share=0.0, hold_out=None, training=False)
