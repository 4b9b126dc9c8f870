"""The rows that a run was judged on, read again as its record says, with what it stored of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from transformers import BatchFeature

from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.modality import TEXT
from logitmix_hf.reporting.folder import RECORD, RunFolder
from logitmix_hf.serving.classifier import Classifier, FoundClassifier
from logitmix_hf.text.data import TextRequest, load_text_data
from logitmix_hf.vision.data import ImageRequest, load_image_data

_BATCH = 32


@dataclass(frozen=True)
class OwnRows:
    """The first split that a run was judged on. stored: what the run said of its rows, in their order."""

    name: str
    stored: Predictions
    data: Any

    def batches(self, classifier: Classifier) -> Iterator[Any]:
        """All rows as the network takes them."""
        split = self.data.validation[self.data.judged[0].name]
        for start in range(0, len(split), _BATCH):
            if classifier.modality == TEXT:
                some = split[start : start + _BATCH]
                columns = [some[name] for name in self.data.columns]
                yield classifier.prepare(list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0])
            else:
                items = [split[row] for row in range(start, min(start + _BATCH, len(split)))]
                pixels = self.data.collator()(items)["pixel_values"]
                pixels = pixels.expand(-1, 3, -1, -1)  # grey as an image processor hands it over
                yield BatchFeature({"pixel_values": pixels.contiguous()})


def own_rows(found: FoundClassifier) -> OwnRows | None:
    """The rows of the run of that name; None where it is no run, or its rows are not to be had as they were."""
    folder = RunFolder(found.name)
    if not folder.holds_run():
        return None
    record = folder.read_json(RECORD)
    try:
        data = _read(record.get("data") or {}, record.get("arguments") or {}, found.modality)
        if data.problem != REGRESSION:
            data = data.relabelled(found.label_names, match_labels(found.label_names, data.label_names).numbers)
    except (UserError, OSError, TypeError):  # files and networks that are gone, and records of another version
        return None
    name = next((one.name for one in data.judged), "")
    file = folder.path / "predictions" / f"{name}.parquet"
    if not file.is_file():
        return None
    stored, split = Predictions.load(file), data.validation[name]
    labels = np.asarray(split["labels"]) if found.modality == TEXT else split.labels.cpu().numpy()
    idx = np.asarray(split["idx"] if found.modality == TEXT else split.idx)
    if stored.labels is None or stored.labels.shape != labels.shape or not np.allclose(stored.labels, labels):
        return None
    if stored.idx is not None and not np.array_equal(stored.idx, idx):
        return None
    return OwnRows(f"{data.name} ({name})", stored, data)


def _read(facts: Mapping[str, Any], arguments: Mapping[str, Any], modality: str) -> Any:
    """The data that the run's flags mean today."""
    kind: Any = TextRequest if modality == TEXT else ImageRequest
    named = {one.name: arguments[one.name] for one in fields(kind) if one.name in arguments}
    named |= {
        "calibration_share": arguments.get("calibration_split"),
        "training": bool(arguments.get("do_train", True)),
    }
    if not named["training"]:
        named["validation_share"] = 0.0
    if modality == TEXT:
        if (columns := arguments.get("text_columns")) is not None:
            named["text_columns"] = tuple(name.strip() for name in columns.split(","))
        return load_text_data(kind(**named))
    limit = arguments.get("memory_limit")
    named |= {"memory_limit": None if limit is None else int(limit * 2**30)}
    named |= {name: facts[name] for name in ("image_size", "channels") if name in facts}
    normalised = {name: tuple(facts[name]) for name in ("mean", "std") if name in facts}
    return replace(load_image_data(kind(**named)), **normalised)
