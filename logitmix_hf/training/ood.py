"""Data that belongs to no class: ``--ood NAME=PLACE``. How well the finished model's confidence tells it from its own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.evaluation.ood import OOD_MEASURES, OOD_SCORES, ood_scores
from logitmix_hf.tables import aligned_table
from logitmix_hf.training.shift import DataT, check_new, read_places

PREFIX = "ood_"
"""What the keys of their measures and the names of their predictions begin with."""


def read_oods(words: Sequence[str] | None) -> dict[str, str]:
    """What ``--ood`` names: see :func:`~logitmix_hf.training.shift.read_places`."""
    return read_places("ood", words, "its data is, as --ood poems=poems.txt")


def with_ood(data: DataT, splits: Mapping[str, Any]) -> DataT:
    """The data with more splits, without labels: predicted at the end, and nothing is chosen by them.

    Raises:
        UserError: another split is called so already.
    """
    check_new(splits, data, "--ood")
    return replace(data, test={**data.test, **splits})


def ood_name(name: str, split: str, splits: int) -> str:
    """What a split of such data is called here: by the flag's name, and where there are several by itself too."""
    return f"{PREFIX}{name}" if splits == 1 else f"{PREFIX}{name}_{split}"


def check_ood_flags(words: Sequence[str] | None, regression: bool, name: str) -> None:
    """Require classes, which are known before or after the data is read.

    Raises:
        UserError: for a regression, and as :func:`read_oods`.
    """
    if read_oods(words) and regression:
        raise UserError(
            f"--ood {words[0]}: confidence is judged by such data, and {name} is a regression, which gives"  # type: ignore[index]
            " values: leave it out."
        )


def check_ood_data(words: Sequence[str] | None, data: TaskData[Any], judged: Sequence[Any]) -> None:
    """Require classes, and judged rows of the own data.

    Raises:
        UserError: where there are none.
    """
    check_ood_flags(words, data.problem == REGRESSION, data.name)
    if words and not judged:
        raise UserError(
            f"--ood {words[0]}: such data is told from the own, of which no rows are judged: leave out --do_eval false, or"
            " give rows to judge on."
        )


def judge_ood(own: Predictions, source: str, others: Mapping[str, Predictions]) -> dict[str, Any]:
    """The entries of ``eval_results.json``: every measure as ``<name>_<score>_<measure>``, and ``<name>_samples``; under
    ``ood`` what the rows were told from.

    Args:
        own: judged rows of the own data, as deployed; source: what they are called.
        others: predictions of rows of no class by their names, as deployed.
    """
    found: dict[str, Any] = {}
    for name, other in others.items():
        found |= {f"{name}_{key}": value for key, value in ood_scores(own, other).items()}
        found[f"{name}_samples"] = len(other)
    return {**found, "ood": {"against": source, "rows": len(own), "names": list(others)}} if found else {}


def ood_lines(results: Mapping[str, Any]) -> list[str]:
    """What the terminal says of such data: a line for each score."""
    facts = results.get("ood")
    if not facts:
        return []
    rows = [
        [name.removeprefix(PREFIX), f"{results[f'{name}_samples']:,}", title]
        + [f"{results[f'{name}_{score}_{measure}']:.4f}" for measure in OOD_MEASURES]
        for name in facts["names"]
        for score, title in OOD_SCORES.items()
    ]
    head = ["no class", "n", "told apart by", "AUROC", "AUPR out", "AUPR in", "FPR95"]
    table = aligned_table(head, rows, "lrlrrrr")
    against = f"{facts['rows']:,} rows of {facts['against']}"
    return [*table.split("\n"), "", f"Rows of no class are the positives, against {against}; AUROC .5 is chance."]
