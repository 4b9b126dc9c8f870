"""What the estimators of texts and of images share: parameters, fitting by a run, answering in scikit-learn's terms."""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
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

from logitmix_hf.data.labels import plain_name
from logitmix_hf.errors import UserError, listed, nearest, one_line, printable
from logitmix_hf.estimators.run import fine_tune
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.serving.classifier import Classifier, load_classifier

EstimatorT = TypeVar("EstimatorT", bound="RunEstimator")

_BY_DATA = (
    *("task", "dataset", "dataset_name", "dataset_config", "train_file", "validation_file", "test_file"),
    *("text_columns", "image_column", "label_column", "regression", "on_bad_row"),
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
        check_rows(X, "X")
        named, classes = _read_labels(y)
        _check_lengths("X", X, named)
        _warn_of_index(X, y)
        judged = None if eval_set is None else _read_judged(eval_set, classes, named.ndim)
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
            no_bars = not self.verbose if self.disable_tqdm is None else self.disable_tqdm
            data = self._write_rows(place / "data", X, named, judged, list(map(str, classes)))
            run = fine_tune(self.modality, **{**data, **words, "output_dir": folder, "disable_tqdm": no_bars})
            self.scores_ = dict(run.scores)
            self.classes_ = classes  # now, not before: one that could not be fitted answers as it did
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
    def _write_rows(
        self, folder: Path, X: Any, y: np.ndarray, judged: tuple[Any, np.ndarray] | None, names: Sequence[str]
    ) -> dict[str, Any]:
        """Write rows where the command reads them; the flags that name them. ``names``: of the columns of (N, L) labels."""

    @abstractmethod
    def _read_inputs(self, X: Any) -> list[Any]:
        """N inputs of the classifier."""

    def _take(self, classifier: Classifier) -> None:
        self.classifier_ = classifier
        names = [plain_name(str(one)) for one in self.classes_]
        self._order = np.array([classifier.label_names.index(name) for name in names])

    def _predictions(self, X: Any) -> Predictions:
        check_is_fitted(self, "classifier_")
        check_rows(X, "X")
        inputs = self._read_inputs(X)
        size, classifier = int(self.per_device_eval_batch_size), self.classifier_
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
        # Here nothing is held out unless somebody says so: a share that is the command's default is one that was given.
        cls._defaults = {"verbose": False, **own, "validation_share": None}
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


def check_rows(values: Any, what: str) -> None:
    """Require rows in an order, each of which can be read more than once."""
    if isinstance(values, str | bytes | dict | set | frozenset) or not hasattr(values, "__iter__"):
        raise UserError(f"{what} is {_kind(values)}; give a list, an array or a column: a row for each example.")


def _kind(value: Any) -> str:
    return "None" if value is None else "one text" if isinstance(value, str) else f"a {type(value).__name__}"


def _array(y: Any) -> np.ndarray:
    """Labels as an array, of tensors and sparse matrices too."""
    y = y.detach().cpu() if hasattr(y, "detach") else y.toarray() if hasattr(y, "toarray") else y
    try:
        values = np.asarray(y.float() if str(getattr(y, "dtype", "")) == "torch.bfloat16" else y)
    except (ValueError, TypeError, RuntimeError) as problem:
        raise UserError(f"y is no array of labels ({one_line(problem)}): give (N,) or (N, L) of 0 and 1.") from None
    if values.ndim not in (1, 2):
        shape = _kind(y) if values.ndim == 0 else f"of the shape {values.shape}"
        raise UserError(
            f"y is {shape}: give the labels of N rows as (N,), or of several labels a row (N, L) of 0 and 1."
        )
    return values


def _read_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as the names that a model gives them, (N,) or of several labels (N, L) 0 and 1; and the classes."""
    columns = list(map(str, y.columns)) if isinstance(y, pd.DataFrame) else []
    values = _array(y)
    if values.ndim == 2 and values.shape[1] > 1:
        if twice := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
            raise UserError(f"y has several columns called {listed(twice)}: rename them.")
        return _indicator(values), np.asarray(columns or range(values.shape[1]))
    values = values.reshape(-1)
    if (missing := np.flatnonzero(pd.isna(values))).size:
        raise UserError(f"y has no label in row {missing[0]} ({missing.size} such rows): leave them out.")
    try:
        classes = np.unique(values)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values})
        raise UserError(f"y holds labels of the kinds {', '.join(kinds)}, which cannot be sorted: take one.") from None
    if values.dtype.kind == "f" and not np.all(np.isfinite(classes) & (classes == np.floor(classes))):
        raise UserError(
            f"y holds real numbers ({listed(list(classes), 3, quote=False)}), and this is a classifier: give classes."
        )
    if len(classes) == 1:
        raise UserError(f"y has a single class, {classes[0]!s:.40}; there is nothing to learn.")
    return _named(values, classes), classes


def _named(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    names = [plain_name(str(one)) for one in classes]
    if not all(map(str.strip, names)) or len(set(names)) < len(names):
        both = [
            one for one, name in zip(classes.tolist(), names, strict=True) if names.count(name) > 1 or not name.strip()
        ]
        raise UserError(f"y has labels that a model would call nothing, or alike ({listed(both)}): rename them.")
    if odd := [name for name in names if printable(name) != name]:
        raise UserError(f"y has labels that no file can hold as they are ({listed(odd)}): rename them.")
    return np.asarray(names, dtype=object)[np.searchsorted(classes, values)]


def _read_judged(eval_set: Any, classes: np.ndarray, ndim: int) -> tuple[Any, np.ndarray]:
    """Rows to judge on and their labels, each of which must be among those to train on."""
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise UserError(f"eval_set is {_kind(eval_set)}; give the pair (X, y) of rows to judge on.")
    check_rows(eval_set[0], "X of eval_set")
    values = _array(eval_set[1])
    if ndim == 2:
        named = _indicator(values)
        if named.shape[1:] != (len(classes),):
            raise UserError(f"y of eval_set has the shape {named.shape}, and y has {len(classes)} columns.")
    else:
        known = set(classes.tolist())
        if unknown := [one for one in dict.fromkeys(values.reshape(-1).tolist()) if one not in known]:
            given, has = (listed(list(map(repr, names)), quote=False) for names in (unknown, classes.tolist()))
            raise UserError(f"eval_set has the labels {given}, which y has not: {has}.")
        named = _named(values.reshape(-1), classes)
    _check_lengths("eval_set", eval_set[0], named)
    return eval_set[0], named


def _indicator(values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or not np.isin(values, (0, 1)).all():
        raise UserError(f"y has the shape {values.shape}: each must be 0 or 1, whether a row has that label.")
    return values.astype(int)


def _check_lengths(what: str, X: Any, y: np.ndarray) -> None:
    if not hasattr(X, "__len__"):
        raise UserError(f"{what} is {_kind(X)}, which can be read once only; give a list of it.")
    rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if rows != len(y):
        raise UserError(f"{what} has {rows} rows and {len(y)} labels: each row needs its label.")
    if rows == 0:
        raise UserError(f"{what} has no rows.")


def _warn_of_index(X: Any, y: Any) -> None:
    """Of rows and labels of pandas that were shuffled apart from each other: they are paired by position, as everywhere."""
    both = all(isinstance(one, pd.Series | pd.DataFrame) for one in (X, y))
    if both and set(X.index) == set(y.index) and list(X.index) != list(y.index):
        warnings.warn(
            "X and y have the same index in another order, and rows belong together by their position: if that is not"
            " meant, give y.loc[X.index].",
            stacklevel=3,
        )


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
