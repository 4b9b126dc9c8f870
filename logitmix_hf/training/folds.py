"""``--folds K``: K models judge every row of train that they did not see, and one trained on all of them is kept.

Each fold is a run of its own in ``folds/0`` … of the output folder, so that ``--resume`` goes on in the middle of any. The
model in the output folder is trained on all rows; its scores, temperature and thresholds are of the rows out of fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.data.split import groups_of
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation.predictions import SINGLE, Predictions
from logitmix_hf.process import is_main_process
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.results import read_results
from logitmix_hf.training.loaded import Loaded, known_of
from logitmix_hf.training.run_settings import RunSettings

OUT_OF_FOLD = "out_of_fold"
"""The name of the predictions of all rows, each by the model that did not train on it."""
VALIDATION = "validation"


def fold_rows(labels: Sequence[Any], problem: str, count: int, seed: int) -> list[np.ndarray]:
    """The row numbers of each fold, ascending; together all rows, each once.

    Of one class a row these are the folds of scikit-learn's ``StratifiedKFold(count, shuffle=True, random_state=seed)``;
    several labels a row are stratified by their combination, values by bins.

    Raises:
        UserError: for more folds than rows.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    rows = len(labels)
    if rows < count:
        raise UserError(
            f"--folds {count} needs at least {count} training rows, and there are {rows}: take fewer folds."
        )
    groups = np.asarray(labels) if problem == SINGLE else groups_of(labels, problem, most=max(2, rows // count))
    together = np.unique(groups, return_counts=True)[1].max() < count
    kind = KFold if together else StratifiedKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer rows than folds: told in our words
        splits = kind(count, shuffle=True, random_state=seed).split(np.zeros(rows), groups)
        return [np.sort(part) for _, part in splits]


@dataclass
class Fold:
    """One of the trainings of a run with folds.

    asked: the flags of the whole run, of which a fold carries out a part. folder: of the whole run. number: which fold is left
    out of train; None: none is, and the folds' predictions are judged.
    claimed: shared by all of a run, whether the folder is known to be this run's.
    """

    asked: RunSettings
    folder: RunFolder
    count: int
    number: int | None
    overwrite: bool = False
    resume: bool = False
    claimed: list[bool] = field(default_factory=list)

    def claim(self) -> None:
        """Make the folder of the whole run this run's, once, before the first fold writes into it."""
        if self.claimed or self.number is None:
            return
        with self.folder.writing():
            self.folder.claim(overwrite=self.overwrite, resume=self.resume)
        self.claimed.append(True)

    def of(self, loaded: Loaded, seed: int) -> Loaded:
        """What this training trains on, and what it is judged on."""
        train, data = loaded.splits["train"], loaded.data
        labels = np.asarray(train.labels.cpu() if hasattr(train, "labels") else train["labels"])
        parts = fold_rows(labels.tolist(), data.problem, self.count, seed)
        if self.number is None:
            return self._whole(loaded, parts)
        part = parts[self.number]
        rest = np.setdiff1d(np.arange(len(train)), part)
        if self.number == 0 and data.problem == SINGLE and is_main_process():
            few = [name for name, n in zip(data.label_names, np.bincount(labels), strict=False) if n < self.count]
            if few:
                named = ", ".join(map(repr, few[:5])) + (" …" if len(few) > 5 else "")
                say(f"Fewer rows than folds have the label {named}: some folds judge without it.")
        splits = {"train": _some(train, rest, "train"), VALIDATION: _some(train, part, VALIDATION)}
        judged = JudgedSplit(VALIDATION, "eval", f"fold {self.number} of {self.count}")
        raw = {"train": _some(data.train, rest, "train"), VALIDATION: _some(data.train, part, VALIDATION)}
        data = replace(
            data,
            train=raw["train"],
            validation={VALIDATION: raw[VALIDATION]},
            test={},
            judged=(judged,),
            tested=(),
            calibration=None,
            validation_note=f"fold {self.number} of {self.count} of train ({len(part)} rows), seed {seed}",
        )
        known = {VALIDATION: known_of(raw[VALIDATION])}
        collator: Any = loaded.collator
        if hasattr(collator, "splits"):  # that of images fetches rows from its splits
            collator = replace(collator, splits=splits)
        return replace(loaded, data=data, splits=splits, known=known, collator=collator)

    def _whole(self, loaded: Loaded, parts: Sequence[np.ndarray]) -> Loaded:
        data, train = loaded.data, loaded.splits["train"]
        each = [
            Predictions.load(fold_path(self.folder, k) / "predictions" / f"{VALIDATION}.parquet")
            for k in range(self.count)
        ]
        order = np.argsort(np.concatenate(parts))
        given = joined(each).some(order)
        if len(given) != len(train):
            raise UserError(f"The folds of {self.folder.path} are of other rows: train it again by --overwrite.")
        others = [replace(one, prefix=f"eval_{one.name}") for one in data.judged]
        words = (
            f"every row of train by the one of {self.count} models that did not train on it (folds/0 to"
            f" folds/{self.count - 1}); the model of this folder was trained on all of them, and these scores stand for it"
        )
        judged = (JudgedSplit(OUT_OF_FOLD, "eval", "train, out of fold"), *others)
        data = replace(data, judged=judged, validation_note=words)
        return replace(loaded, data=data, splits={**loaded.splits, OUT_OF_FOLD: train}, given={OUT_OF_FOLD: given})

    def results(self, metric: str) -> dict[str, Any]:
        """The entry ``folds`` of ``eval_results.json``: how many, and the headline of each."""
        if self.number is not None:
            return {}
        scores = [read_results(RunFolder(fold_path(self.folder, k))).get(f"eval_{metric}") for k in range(self.count)]
        return {"folds": {"count": self.count, "metric": metric, "scores": scores}}


def fold_path(folder: RunFolder, number: int) -> Path:
    return folder.path / "folds" / str(number)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all, one after the other."""

    def whole(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    arrays = {name: whole(name) for name in ("logits", "labels", "idx", "posterior", "members")}
    return replace(parts[0], **arrays)


def _some(split: Any, rows: np.ndarray, name: str) -> Any:
    return split.some(rows, name) if hasattr(split, "some") else split.select(rows)
