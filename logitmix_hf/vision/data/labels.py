"""Labels of images to class numbers: one class a row, or a mistake that says what the column holds instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, listed


@dataclass(frozen=True)
class LabelColumn:
    """One split's labels as they were read: Python values, None where missing. names: of numbers that stand for them."""

    where: str
    name: str
    values: Sequence[Any]
    names: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every row has a label; -1 of a ``ClassLabel`` stands for none."""
        return all(value is not None and not (self.names and value == -1) for value in self.values)


def number_labels(
    columns: Mapping[str, LabelColumn], learns: bool = True
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names in the order of their numbers, and each split's (N,) int64 labels; the first, train where there is
    one, says which classes there are. ``learns``: require two.

    Declared names (``ClassLabel``) keep their order, also of classes that train lacks; else names are sorted, integers
    by value.

    Raises:
        UserError: for missing labels, real values, lists, mixed kinds, a single class, and labels unknown to train.
    """
    for column in columns.values():
        _check_kinds(column)
    first = next(iter(columns.values()))
    present = set(first.values)
    if learns and len(present) < 2 and len(first.names) < 2:
        raise UserError(
            f"{first.where}: column {first.name!r} has a single label, {first.values[0]!r}; nothing to learn."
        )
    order = list(range(len(first.names))) if first.names else sorted(present)
    names = first.names or tuple(str(label) for label in order)
    index = {label: number for number, label in enumerate(order)}
    numbers = {}
    for key, column in columns.items():
        strange = sorted({value for value in column.values if value not in index}, key=str)
        if strange:
            raise UserError(
                f"{column.where}: column {column.name!r} has labels that train lacks: {listed(strange, 5)}; labels there:"
                f" {listed(order)}."
            )
        numbers[key] = np.array([index[value] for value in column.values], np.int64)
    return names, numbers


def _check_kinds(column: LabelColumn) -> None:
    where = f"{column.where}: column {column.name!r}"
    if not len(column.values):
        raise UserError(f"{column.where} has no rows.")
    kinds = {type(value) for value in column.values}
    if float in kinds and kinds <= {float, int, type(None)}:
        raise UserError(f"{where} holds real values, not labels; images are classified only. See --label_column.")
    if kinds & {list, dict}:
        raise UserError(f"{where} holds several values a row; one label an image is expected. See --label_column.")
    if not column.complete:
        missing = [row for row, value in enumerate(column.values) if value is None or (column.names and value == -1)]
        raise UserError(
            f"{where} has no label in {len(missing)} of {len(column.values)} rows, first in row {missing[0]} (from 0);"
            " fill them or leave these rows out."
        )
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(f"{where} holds {shown}; labels are names or whole numbers. See --label_column.")
