"""The columns of the tables: key, head, which way is better, how a number is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logitmix_hf.evaluation import REGRESSION, better
from logitmix_hf.reporting.comparison.scores import AFTER, ScoredVariant
from logitmix_hf.reporting.score_names import SCORE_NAMES


@dataclass(frozen=True)
class Column:
    """One number of the methods.

    Attributes:
        key: see ``numbers``.
        head: short, over the column.
        group: over several heads.
        better: 1 where more is better, -1 where less is, 0 where neither.
        form: of ``format``.
        hint: the head in full.
        tested: whether the bootstrap can tell a gain of this number from chance, so that a best may be bold.
    """

    key: str
    head: str
    group: str
    better: int = 0
    form: str = ".3f"
    hint: str = ""
    tested: bool = True

    def write(self, value: float) -> str:
        """The number as a reader sees it; an en dash where there is none."""
        return format(value, self.form) if math.isfinite(value) else "–"


SCORE = "score"
"""The group of the task's own scores."""

_BEFORE, _AFTER, _PARTIAL, _COST = "as trained", "after temperature", "answering the surest", "cost"


def _score(key: str, head: str, group: str) -> Column:
    # A bootstrap that holds T fixed finds two fits of one model different: T's own chance is not in it.
    name = key.removesuffix(AFTER)
    return Column(key, head, group, better(name) or 0, hint=SCORE_NAMES.get(name, ""), tested=name == key)


_MAIN = (
    Column("nll_refined", "refined NLL", "at the best T", -1, hint=SCORE_NAMES["nll_refined"], tested=False),
    _score("ece", "ECE", _BEFORE),
    _score("oe", "OE", _BEFORE),
    _score("nll", "NLL", _BEFORE),
    Column("temperature", "T", _AFTER, 0, ".2f", "the temperature: above 1 for an over-confident model", tested=False),
    _score(f"ece{AFTER}", "ECE", _AFTER),
    _score(f"nll{AFTER}", "NLL", _AFTER),
    _score("aurc", "AURC", _PARTIAL),
    _score("accuracy_at_80", "acc. 80 %", _PARTIAL),
)
_COSTS = (
    Column("seconds", "seconds", _COST, -1, ",.0f", "of the whole run, as the machine was at that time", tested=False),
    Column(
        "memory_mb", "MB", _COST, -1, ",.0f", "peak memory: of the accelerator, or else of the process", tested=False
    ),
    Column("examples_per_second", "ex./s", _COST, 1, ",.1f", "training examples a second", tested=False),
)
_FURTHER = (
    Column("confidence_gap", "gap", _BEFORE, 0, "+.3f", "mean confidence minus accuracy"),
    _score("ece_by_chance", "by chance", _BEFORE),
    _score("ece_mass", "equal mass", _BEFORE),
    _score("ece_classwise", "class-wise", _BEFORE),
    _score("mce", "MCE", _BEFORE),
    _score("rmsce_debiased", "debiased", _BEFORE),
    _score("brier", "Brier", _BEFORE),
    _score("brier_reliability", "reliability", _BEFORE),
    _score("brier_resolution", "resolution", _BEFORE),
    Column(f"confidence_gap{AFTER}", "gap", _AFTER, 0, "+.3f", "mean confidence minus accuracy"),
    _score(f"ece_by_chance{AFTER}", "by chance", _AFTER),
    _score(f"oe{AFTER}", "OE", _AFTER),
    _score(f"ece_mass{AFTER}", "equal mass", _AFTER),
    _score(f"brier{AFTER}", "Brier", _AFTER),
    _score("true_calibration_error", "true error", "known truth"),
    _score("bayes_accuracy", "Bayes acc.", "known truth"),
    *(
        Column(name, head, "members", better(name) or 0, hint=SCORE_NAMES[name], tested=False)
        for name, head in {
            "member_accuracy": "accuracy",
            "member_nll": "NLL",
            "ensemble_gain": "gain",
            "d_re": "d_re",
        }.items()
    ),
)
_LAST = "mean of the last evaluations"


def score_columns(problem: str, metrics: Iterable[str]) -> list[Column]:
    """Of the first table: the task's scores, calibration before and after, cost."""
    own = [
        Column(name, name.replace("_", " "), SCORE, better(name) or 0, hint=SCORE_NAMES.get(name, ""))
        for name in metrics
    ]
    return [*own, *(() if problem == REGRESSION else _MAIN), *_COSTS]


def further_columns(problem: str, metrics: Iterable[str] = ()) -> list[Column]:
    """Of the second table: what a reviewer asks for beyond that."""
    last = [
        Column(
            f"last_{name}",
            name.replace("_", " "),
            _LAST,
            better(name) or 0,
            hint=SCORE_NAMES.get(name, ""),
            tested=False,
        )
        for name in (*metrics, "ece", "nll")
    ]
    return last if problem == REGRESSION else [*_FURTHER, *last]


def known(columns: Sequence[Column], methods: Sequence[ScoredVariant]) -> list[Column]:
    """Those that any run has a number for."""
    return [column for column in columns if any(method.known(column.key) for method in methods)]
