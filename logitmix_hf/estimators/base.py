"""What the estimators of texts and of images share: parameters, fitting by a run, answering in scikit-learn's terms."""

from __future__ import annotations

import io
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.estimators.run import fine_tune
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.serving.classifier import Classifier, load_classifier

EstimatorT = TypeVar("EstimatorT", bound="RunEstimator")

_BY_DATA = (
    *("task", "dataset", "dataset_name", "dataset_config", "train_file", "validation_file", "test_file"),
    *("text_columns", "image_column", "label_column", "regression"),
)
"""Flags that say which rows are meant: here ``fit`` is given them."""
_BY_FIT = ("do_train", "do_eval", "do_predict", "resume", "resume_from_checkpoint", "config")
"""Flags that say what is done with them."""

_OF_JUDGED = ("protocol", "calibrate_on_eval", "ood", "load_best_model_at_end", "early_stopping")
"""Flags that mean nothing where no row is judged."""


class RunEstimator(ClassifierMixin, BaseEstimator):
    """A classifier that ``fit`` trains as the command does, with every flag of the command a parameter.

    Attributes:
        classes_: the labels that ``fit`` saw, sorted; for several labels a row the columns of ``y``.
        classifier_: the trained model, with processor and temperature, of :mod:`logitmix_hf.serving`.
        scores_: the scores of the rows that were held out or given as ``eval_set``; empty where there were none.
        run_: the run with its folder, where ``output_dir`` names one; else None.
    """

    modality: ClassVar[str]
    _defaults: ClassVar[dict[str, Any]]
    _aliases: ClassVar[dict[str, str]]

    verbose: bool
    output_dir: str | None
    disable_tqdm: bool | None
    per_device_eval_batch_size: int

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(cls._defaults)

    def set_params(self: EstimatorT, **parameters: Any) -> EstimatorT:
        """Change parameters; a name that is none is a :class:`UserError` with the nearest one."""
        return super().set_params(**self._own_names(parameters))

    @classmethod
    def _own_names(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """By the names of the fields, where a flag's other spelling was given."""
        for name in parameters:
            if name not in cls._defaults and name not in cls._aliases:
                raise UserError(
                    f"{cls.__name__} has no parameter {name!r}.{nearest(name, cls._defaults)} They are the flags of the"
                    f" command; {cls.__name__}().get_params() has them all."
                )
        return {cls._aliases.get(name, name): value for name, value in parameters.items()}

    def fit(self: EstimatorT, X: Any, y: Any, eval_set: tuple[Any, Any] | None = None) -> EstimatorT:
        """Train on all of the rows, or on those that ``validation_share`` and ``calibration_split`` leave.

        Args:
            X: N texts, pairs of texts, or images; see the class.
            y: (N,) labels of any sortable kind, or (N, L) of 0 and 1 where a row may have several labels.
            eval_set: rows to judge on, as (X, y); the scores are in ``scores_``.

        Raises:
            UserError: for rows or parameters that the command would refuse, with what is wrong.
        """
        named, self.classes_ = _read_labels(y)
        judged = None if eval_set is None else (eval_set[0], _named_as(eval_set[1], self.classes_, named.ndim))
        _check_lengths(X, y)
        words = {name: value for name in self._defaults if self._differs(name, value := getattr(self, name))}
        words.pop("verbose", None)
        if eval_set is None and not words.get("validation_share"):
            if needy := [name for name in _OF_JUDGED if name in words]:
                raise UserError(f"{needy[0]} needs rows to judge on: give eval_set or validation_share.")
            words |= {"validation_share": 0, "do_eval": "folds" in words, "eval_strategy": "no"}
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logitmix-")))
            folder = self.output_dir or str(place / "run")
            if self.output_dir is None and "load_best_model_at_end" not in words:  # nobody can go on from it
                words.setdefault("save_strategy", "no")
            stack.enter_context(_quiet(self.verbose))
            data = self._write_rows(place / "data", X, named, judged)
            run = fine_tune(
                self.modality, **{**data, **words, "output_dir": folder, "disable_tqdm": self._without_bars()}
            )
            self.scores_ = dict(run.scores)
            self._take(run.classifier)
        self.run_ = run if self.output_dir else None
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,) labels as ``fit`` was given them; (N, L) of 0 and 1 where a row may have several. Thresholds (``thresholds``,
        ``cost``) decide, where the model was given some; else the likeliest class, and of several labels a half."""
        found, limits = self._predictions(X), self.classifier_.thresholds
        said = found.predictions if limits is None else limits.decide(found.probabilities, found.label_names)
        if self.classifier_.problem == MULTI:
            return said[:, self._order].astype(int)
        return self.classes_[np.argsort(self._order)[said]]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, C) calibrated probabilities, columns in the order of ``classes_``."""
        return self._predictions(X).probabilities[:, self._order]

    def save(self, folder: str | Path) -> Path:
        """Write what ``from_pretrained``, every command and :meth:`load` take. ``folder`` must be new or empty."""
        check_is_fitted(self, "classifier_")
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"{str(target)!r} exists and is not empty: nothing is overwritten. Give another folder.")
        if self.run_ is not None and self.run_.folder.is_dir():
            shutil.copytree(self.run_.folder, target, dirs_exist_ok=True, ignore=_no_checkpoints)
        else:
            self.classifier_.model.save_pretrained(target)
            self.classifier_.processor.save_pretrained(target)
        return target

    @classmethod
    def load(cls: type[EstimatorT], source: str | Path, **options: Any) -> EstimatorT:
        """A fitted estimator from a folder or a name on the Hub, whoever trained it; its labels are the model's names.

        Args:
            options: ``revision``, ``token``, ``device``, ``dtype``.

        Raises:
            UserError: where there is no such classifier, or it is one of another kind of input.
        """
        classifier = load_classifier(str(source), **options)
        if classifier.modality != cls.modality or classifier.problem == REGRESSION:
            what = "a regression" if classifier.problem == REGRESSION else f"a classifier of {classifier.modality}s"
            raise UserError(f"{str(source)!r} holds {what}, and {cls.__name__} classifies {cls.modality}s.")
        made = cls()
        made.classes_ = np.asarray(classifier.label_names)
        made.scores_, made.run_ = {}, None
        made._take(classifier)
        return made

    @abstractmethod
    def _write_rows(self, folder: Path, X: Any, y: np.ndarray, judged: tuple[Any, np.ndarray] | None) -> dict[str, Any]:
        """Write rows where the command reads them; the flags that name them."""

    @abstractmethod
    def _read_inputs(self, X: Any) -> list[Any]:
        """N inputs of the classifier."""

    def _take(self, classifier: Classifier) -> None:
        self.classifier_ = classifier
        names = [str(one).strip() for one in self.classes_]
        self._order = np.array([classifier.label_names.index(name) for name in names])

    def _predictions(self, X: Any) -> Predictions:
        check_is_fitted(self, "classifier_")
        inputs = self._read_inputs(X)
        size, classifier = self.per_device_eval_batch_size, self.classifier_
        order = sorted(range(len(inputs)), key=lambda row: self._length(inputs[row]))  # like lengths pad little
        logits = np.empty((len(inputs), len(classifier.label_names)), np.float32)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            logits[rows] = classifier.logits([inputs[row] for row in rows])
        return Predictions(logits, None, classifier.label_names, classifier.problem)

    def _length(self, value: Any) -> int:
        return 0

    def _differs(self, name: str, value: Any) -> bool:
        default = self._defaults[name]
        return value is not default and not (type(value) is type(default) and value == default)

    def _without_bars(self) -> bool:
        return not self.verbose if self.disable_tqdm is None else self.disable_tqdm

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        tags.non_deterministic = True
        return tags


def with_parameters(kinds: Iterable[Any], modality: str) -> Any:
    """Give an estimator of this modality the flags of these dataclasses as its parameters."""

    def decorate(cls: type[RunEstimator]) -> type[RunEstimator]:
        cls.modality = modality
        mine = (each for kind in kinds for each in fields(kind) if each.metadata.get("only") in (None, modality))
        flags = {each.name: each for each in mine if each.init}
        own = {name: _default(each) for name, each in flags.items() if name not in (*_BY_DATA, *_BY_FIT)}
        cls._defaults = {"verbose": False, **own}
        cls._aliases = {
            alias.lstrip("-"): name
            for name in own
            for alias in flags[name].metadata.get("aliases", ())
            if alias[2:] not in own
        }

        def __init__(self: RunEstimator, **parameters: Any) -> None:  # noqa: N807
            given = self._own_names(parameters)
            for name, default in self._defaults.items():
                setattr(self, name, given.get(name, default))

        made = [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in cls._defaults.items()]
        here = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
        # What `help` and editors show, and what scikit-learn's printing calls a default.
        __init__.__signature__ = Signature([here, *made])  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]
        return cls

    return decorate


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _read_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as the names that a model gives them, (N,) or of several labels (N, L) 0 and 1; and the classes."""
    if isinstance(y, pd.DataFrame) and y.shape[1] > 1:
        return _indicator(y.to_numpy()), np.asarray([str(name) for name in y.columns])
    values = np.asarray(y.squeeze(axis=1) if isinstance(y, pd.DataFrame) else y)
    if values.ndim == 2 and values.shape[1] > 1:
        return _indicator(values), np.arange(values.shape[1])
    values = values.reshape(-1)
    if (missing := np.flatnonzero(pd.isna(values))).size:
        raise UserError(f"y has no label in row {missing[0]} ({missing.size} such rows): leave them out.")
    try:
        classes = np.unique(values)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values})
        raise UserError(f"y mixes labels of the kinds {', '.join(kinds)}, which cannot be sorted: take one.") from None
    if values.dtype.kind == "f" and not np.all(classes == np.floor(classes)):
        raise UserError(
            f"y holds real numbers ({listed(list(classes), 3, quote=False)}), and this is a classifier: give classes."
        )
    return _named(values, classes), classes


def _named(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    names = [str(one).strip() for one in classes]
    if len(set(names)) < len(names) or "" in names:
        both = next((name for name in names if names.count(name) > 1), "")
        raise UserError(f"y has several labels that a model would call {both!r}: rename them.")
    return np.asarray(names, dtype=object)[np.searchsorted(classes, values)]


def _named_as(y: Any, classes: np.ndarray, ndim: int) -> np.ndarray:
    """The labels of rows to judge on, each of which must be among those to train on."""
    if ndim == 2:
        return _indicator(y.to_numpy() if isinstance(y, pd.DataFrame) else np.asarray(y))
    values = np.asarray(y).reshape(-1)
    if unknown := [one for one in dict.fromkeys(values.tolist()) if one not in set(classes.tolist())]:
        raise UserError(f"eval_set has the labels {listed(unknown)}, which y has not: {listed(classes.tolist())}.")
    return _named(values, classes)


def _indicator(values: np.ndarray) -> np.ndarray:
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"y has {values.shape[1]} columns, each of which must be 0 or 1: whether a row has that label.")
    return values.astype(int)


def _check_lengths(X: Any, y: Any) -> None:
    rows, labels = len(X), len(y)
    if rows != labels:
        raise UserError(f"X has {rows} rows and y {labels}: each row needs its label.")
    if rows == 0:
        raise UserError("X has no rows.")


def first_missing(values: Sequence[Any]) -> int | None:
    """The row of the first value that is None or NaN."""
    return next((row for row, one in enumerate(values) if one is None or one is pd.NA or one != one), None)


def _no_checkpoints(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(("checkpoint-", ".")) and name != ".gitattributes"]


@contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Without the lines of the training's log, the last table, bars, and what transformers warns of (a new head, in every
    fit); what is surprising goes to stderr and is said all the same."""
    if verbose:
        yield
        return
    import datasets
    from transformers.utils import logging

    bars, level, of_data = (
        logging.is_progress_bar_enabled(),
        logging.get_verbosity(),
        datasets.are_progress_bars_disabled(),
    )
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if not of_data:
            datasets.enable_progress_bars()
