"""Which rows of a data set's splits a run reads: held out, set apart, kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from logitmix_hf.data.split import hold_out_rows, keep_rows
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import SINGLE
from logitmix_hf.vision.data.request import ImageRequest
from logitmix_hf.vision.data.sources import ImageSource, RawSplit, open_source

_EVAL_SEED = 0  # of max_eval_samples: every run is judged on the same rows


@dataclass
class Choice:
    """rows: of each split by its name in the run, the raw split and ascending positions in it; "train" and
    "calibration" where they are, the rest is judged, but for ``tested``. note, calibration_note: in words, where
    validation and calibration come from. called: what splits are called where they come from."""

    rows: dict[str, tuple[RawSplit, np.ndarray]] = field(default_factory=dict)
    tested: tuple[str, ...] = ()
    note: str = ""
    calibration_note: str = ""
    called: dict[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """Names of the splits that are judged."""
        return [name for name in self.rows if name not in ("train", "calibration", *self.tested)]


def choose_rows(source: ImageSource, request: ImageRequest) -> Choice:
    """The rows that a request wants of what it found."""
    request.check_held_out(bool(source.validation))
    if request.hold_out is not None:
        source = replace(source, validation={}, called={k: v for k, v in source.called.items() if k in source.test})
    made, most = Choice(note=source.note, called=dict(source.called)), request.max_eval_samples
    if source.train is not None:
        _share_train(made, source, source.train, request)
        if not request.training:
            del made.rows["train"]
    for key, split in source.validation.items():
        made.rows[key] = (split, _keep(np.arange(len(split.rows)), most, _EVAL_SEED))
    made.tested = tuple(key for key in source.test if key not in made.rows)
    for key in made.tested:
        made.rows[key] = (source.test[key], np.arange(len(source.test[key].rows)))
    return made


def _share_train(made: Choice, source: ImageSource, train: RawSplit, request: ImageRequest) -> None:
    """What of train is trained on, set apart, and held out; without the last, the test split is judged in its place."""
    labels, seed, most = train.labels, request.seed, request.max_eval_samples
    assert labels is not None
    train_rows = np.arange(len(labels))
    share = request.validation_share if request.hold_out is None else request.hold_out
    if not source.validation and share == 0:
        for key, (split, called) in _test_in_its_place(request).items():
            made.rows[key] = (split, _keep(np.arange(len(split.rows)), most, _EVAL_SEED))
            made.called[key] = called
            made.note = "the test split: nothing was held out of train (validation share 0)"
    if not source.validation and share > 0:
        train_rows, held = hold_out_rows(labels.tolist(), SINGLE, share, seed)
        made.rows["validation"] = (train, _keep(held, most, _EVAL_SEED))
        made.note = f"a stratified {share:.3g} share of train ({len(held)} rows), seed {seed}"
    train_rows = _keep(train_rows, request.max_train_samples, seed)
    if request.calibration_share is not None:
        share = request.calibration_share
        stay, held = hold_out_rows(labels[train_rows].tolist(), SINGLE, share, seed)
        made.calibration_note = f"a stratified {share:.3g} share of train ({len(held)} rows), seed {seed}"
        made.rows["calibration"], train_rows = (train, train_rows[held]), train_rows[stay]
    made.rows["train"] = (train, train_rows)


def _test_in_its_place(request: ImageRequest) -> dict[str, tuple[RawSplit, str]]:
    """The test split and what it is called, where it has labels: what papers on CIFAR report."""
    try:
        source = open_source(replace(request, need_test=True, training=True))
    except UserError:
        return {}
    return {key: (split, source.called[key]) for key, split in source.test.items() if split.labels is not None}


def _keep(positions: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    return np.sort(positions[keep_rows(len(positions), most, seed)])
