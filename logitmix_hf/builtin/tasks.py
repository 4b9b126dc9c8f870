"""GLUE-shaped tasks from small grammars, with labels drawn from a posterior that is known and kept.

The data is synthetic: it exists so that a first run needs no network, and so that calibration can be held against
the truth. A grammar gives a text x and the log-odds s(x) of the second class (for stsb the mean rating); the label is
then drawn with probability p(y|x) = LAPSE / 2 + (1 - LAPSE) * sigmoid(s), a psychometric curve with a lapse rate.
Texts are chosen without regard to labels, so p(y|x) is exact in every split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from logitmix_hf.errors import UserError, pick

from .acceptability import draw_sentence
from .draws import Draws
from .entailment import draw_pair
from .sentiment import draw_review
from .similarity import draw_rating, draw_scenes

LAPSE = 0.06
"""Share of labels given without a look at the text; no posterior leaves [LAPSE/2, 1 - LAPSE/2]."""

SPLITS: Mapping[str, range] = MappingProxyType(
    {"train": range(0, 60), "validation": range(60, 80), "test": range(80, 100)}
)
"""The hundredths of all texts (by a hash of the text) that a split may use: disjoint at any size and seed."""


@dataclass(frozen=True)
class BuiltinTask:
    """One generated task, in the shape of the GLUE task of its name.

    draw: gives the texts (one or two) and the log-odds of the class ``toward``, or the mean rating for regression.
    train_rows: default size of train: small enough for a plain model to become over-confident, large enough for
    MiniLM-L6 to learn the task in three or four epochs.
    """

    name: str
    columns: tuple[str, ...]
    draw: Callable[[Draws], tuple[tuple[str, ...], float]]
    label_names: tuple[str, ...] = ()
    toward: int = 1
    train_rows: int = 1000

    def rows(self, split: str) -> int:
        """Default number of rows of a split."""
        return {"train": self.train_rows, "validation": 800, "test": 500}[split]


BUILTIN_TASKS: Mapping[str, BuiltinTask] = MappingProxyType(
    {
        task.name: task
        for task in (
            BuiltinTask("rte", ("sentence1", "sentence2"), draw_pair, ("entailment", "not_entailment"), 0, 1600),
            BuiltinTask("cola", ("sentence",), draw_sentence, ("unacceptable", "acceptable"), train_rows=1600),
            BuiltinTask("sst2", ("sentence",), draw_review, ("negative", "positive")),
            BuiltinTask("stsb", ("sentence1", "sentence2"), draw_scenes),
        )
    }
)
"""The generated tasks; label names and their order as in GLUE."""


def generate(task: str, split: str, rows: int | None = None, seed: int = 0) -> dict[str, list[Any]]:
    """One split of a generated task, the same for the same arguments on every machine.

    No text occurs twice in a split or in two splits, also when their seeds differ; fewer rows are a prefix of more.

    Args:
        task: a name in ``BUILTIN_TASKS``.
        split: ``train``, ``validation`` or ``test`` (whose labels are real, unlike GLUE's).
        rows: how many; default ``BUILTIN_TASKS[task].rows(split)``.
        seed: 0 or above; another seed gives other texts of the same grammar.

    Returns:
        Columns of equal length: the text columns, ``label`` (int, index into the task's label names; float in [0, 5]
        for stsb), ``idx`` (0, 1, ...) and ``posterior`` (list of C floats summing to 1, the exact p(y|x) that the
        label was drawn from; for stsb a list of one, the conditional mean of the label).

    Raises:
        UserError: unknown task or split, rows or seed out of range, or more rows than the grammar has texts.
    """
    chosen = pick(BUILTIN_TASKS, task, "builtin task")
    hundredths = pick(SPLITS, split, "split of the builtin data")
    wanted = chosen.rows(split) if rows is None else rows
    for name, value, low in (("rows", wanted, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise UserError(f"{name} must be a whole number of at least {low}, got {value!r}.")

    draws = Draws(seed, task, split)
    table: dict[str, list[Any]] = {name: [] for name in (*chosen.columns, "label", "idx", "posterior")}
    seen: set[tuple[str, ...]] = set()
    rejected = 0
    while len(seen) < wanted:
        texts, signal = chosen.draw(draws)
        if texts in seen or _hundredth(texts) not in hundredths:
            rejected += 1
            # One text in five is of the split, so thousands of misses in a row mean that nothing new is left.
            if rejected > 2000:
                raise UserError(f"builtin {task} has no more than about {len(seen)} {split} texts; asked for {wanted}.")
            continue
        rejected = 0
        seen.add(texts)
        for column, text in zip(chosen.columns, texts, strict=True):
            table[column].append(text)
        label, posterior = _draw_label(draws, chosen, signal)
        table["label"].append(label)
        table["idx"].append(len(seen) - 1)
        table["posterior"].append(posterior)
    return table


def _draw_label(draws: Draws, task: BuiltinTask, signal: float) -> tuple[int | float, list[float]]:
    if not task.label_names:
        return draw_rating(draws, signal), [signal]
    probability = LAPSE / 2 + (1 - LAPSE) / (1 + math.exp(-signal))
    posterior = [1 - probability, probability] if task.toward == 1 else [probability, 1 - probability]
    return int(draws.chance(posterior[1])), posterior


def _hundredth(texts: tuple[str, ...]) -> int:
    """Which hundredth of all texts this one is in: a hash without a seed, of lower-cased words (models may be uncased)."""
    digest = hashlib.blake2b("\n".join(texts).lower().encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % 100
