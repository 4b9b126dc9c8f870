"""Every class judged as a question of its own, what is taken for what, and what needs no model at all."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.calibration import ece
from logitmix_hf.evaluation.classwise import class_bins
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.scores import METRICS, task_scores

MOST_SQUARE = 100
"""Classes up to which the whole confusion matrix goes into a file; of more, the pairs that are confused most."""
MOST_PAIRS = 20


@dataclass(frozen=True, eq=False)
class ClassScores:
    """How each class of a split was answered; arrays are (C,), in the order of the label numbers.

    Precision, recall and F1 are scikit-learn's with ``zero_division=0``: precision is 0 where a class is never answered,
    recall 0 where it has no rows (:attr:`defined` says where that is no finding).

    Attributes:
        names: of the classes, or their numbers.
        rows: int64, how many rows belong to the class.
        answered: int64, how many are answered so.
        precision, recall, f1: float64 in [0, 1].
        ece: float64 in [0, 1], of the probability of the class alone (``class_bins``).
        confused: (true class, answered class, rows) of the at most ``MOST_PAIRS`` pairs that are confused most, the largest
            first; empty for several labels a row, where no label stands in another's place.
        confusion: (C, C) int64, rows by true class, columns by answered class, as scikit-learn's ``confusion_matrix``; of
            several labels a row (C, 2, 2), as its ``multilabel_confusion_matrix``. None above ``MOST_SQUARE`` classes.
        several: whether a row has several labels.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    answered: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    ece: np.ndarray
    confused: tuple[tuple[int, int, int], ...]
    confusion: np.ndarray | None
    several: bool = False

    def __len__(self) -> int:
        return len(self.names)

    @property
    def defined(self) -> dict[str, np.ndarray]:
        """By score, (C,) bool: whether anything was there to divide by."""
        has, said = self.rows > 0, self.answered > 0
        return {"precision": said, "recall": has, "f1": has | said, "ece": np.ones(len(self), dtype=bool)}

    def weakest(self) -> list[int]:
        """Class numbers by rising F1, those without rows last; of equal ones the class with more rows first."""
        return sorted(range(len(self)), key=lambda k: (self.rows[k] == 0, self.f1[k], -self.rows[k], k))

    def as_json(self) -> dict[str, Any]:
        """``per_class``, a list with an object a class; ``confusion_matrix`` of at most ``MOST_SQUARE`` classes, else
        ``most_confused`` with the ``MOST_PAIRS`` worst pairs."""
        keys = ("rows", "answered", "precision", "recall", "f1", "ece")
        columns = [getattr(self, key).tolist() for key in keys]
        found: dict[str, Any] = {
            "per_class": [
                {"label": name, **dict(zip(keys, values, strict=True))}
                for name, *values in zip(self.names, *columns, strict=True)
            ]
        }
        if self.confusion is not None:
            return found | {"confusion_matrix": self.confusion.tolist()}
        pairs = [
            {"label": self.names[true], "answered": self.names[said], "rows": rows}
            for true, said, rows in self.confused
        ]
        return found | ({} if self.several else {"most_confused": pairs})


def class_scores(p: Predictions, bins: int = 15) -> ClassScores | None:
    """None for a regression, without labels, and without rows.

    Args:
        bins: of each class's ECE.
    """
    if p.problem == REGRESSION or p.labels is None or not len(p):
        return None
    from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix, precision_recall_fscore_support

    probabilities, labels, said = p.probabilities, p.labels, p.predictions
    classes = probabilities.shape[1]
    several, confusion = p.problem == MULTI, None
    if several:
        rows, answered = labels.sum(axis=0), said.sum(axis=0)
        if classes == 1:  # which scikit-learn would take for two classes
            labels, said = np.repeat(labels, 2, axis=1), np.repeat(said, 2, axis=1)
    else:
        rows, answered = (np.bincount(some, minlength=classes) for some in (labels, said))
    scored = precision_recall_fscore_support(
        labels,
        said,
        labels=None if several else np.arange(classes),
        average=None,
        zero_division=0,  # type: ignore[arg-type]
    )
    precision, recall, f1 = (np.asarray(some, dtype=np.float64)[:classes] for some in scored[:3])
    if classes <= MOST_SQUARE:
        confusion = (
            multilabel_confusion_matrix(labels, said)[:classes]
            if several
            else confusion_matrix(labels, said, labels=np.arange(classes))
        )
    return ClassScores(
        p.class_names,
        rows,
        answered,
        precision,
        recall,
        f1,
        np.atleast_1d(ece(class_bins(probabilities, p.labels, bins))),
        () if several else _most_confused(labels, said, classes),
        confusion,
        several,
    )


def _most_confused(labels: np.ndarray, said: np.ndarray, classes: int) -> tuple[tuple[int, int, int], ...]:
    wrong = labels != said
    pairs, counts = np.unique(labels[wrong] * classes + said[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    return tuple((int(pairs[k]) // classes, int(pairs[k]) % classes, int(counts[k])) for k in order)


def balance(p: Predictions) -> dict[str, float]:
    """Scores in which small classes count as much as large ones: ``f1_macro``, and of one label a row ``balanced_accuracy``
    (the mean recall of the classes that have rows). scikit-learn's; empty where there are no classes to balance.
    """
    if p.problem == REGRESSION or p.labels is None or not len(p):
        return {}
    found = task_scores(p.problem, ["f1_macro"], p.predictions, p.labels)
    if p.problem == SINGLE:
        from sklearn.metrics import balanced_accuracy_score

        with warnings.catch_warnings():  # of classes that are answered and have no rows, which never count in it
            warnings.simplefilter("ignore", UserWarning)
            found["balanced_accuracy"] = float(balanced_accuracy_score(p.labels, p.predictions))
    return found


def baseline(p: Predictions, metrics: Sequence[str]) -> dict[str, float]:
    """What answers that look at no input reach on the same rows: the least that a model must beat.

    The answer is the largest class; of several labels a row, each label's more frequent side; of a regression the mean.
    They are read off the judged rows themselves, so no constant answer does better.

    Returns:
        Of the ``metrics`` those that have one (a constant has no correlation, and ranks nothing); then of classes ``nll``,
        the one of saying each class with its own frequency, in nats.

    Raises:
        UserError: without labels or rows.
    """
    if p.labels is None or not len(p):
        raise UserError("These predictions have no labels or no rows, so nothing can be set beside them.")
    if p.problem == REGRESSION:
        answers = np.full(len(p), p.labels.mean())
    elif p.problem == MULTI:
        answers = np.broadcast_to(p.labels.mean(axis=0) > 0.5, p.labels.shape).astype(np.int64)
    else:
        answers = np.full(len(p), np.bincount(p.labels).argmax())
    known = [name for name in metrics if name in METRICS[p.problem] and name not in ("pearson", "spearmanr")]
    found = task_scores(p.problem, known, answers, p.labels)
    if p.problem != REGRESSION:
        found["nll"] = _frequency_nll(p.labels)
    return found


def _frequency_nll(labels: np.ndarray) -> float:
    """The entropy of the labels in nats; of several labels a row the mean over the labels, as NLL is over decisions."""
    from scipy.stats import entropy

    if labels.ndim == 1:
        return float(entropy(np.bincount(labels)))
    yes = labels.mean(axis=0)
    return float(np.mean(entropy([yes, 1 - yes], axis=0)))
