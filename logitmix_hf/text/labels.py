"""What the labels of a data set are: classes, several classes a row, or values; their order and their numbers."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logitmix_hf.data.rows import Columns
from logitmix_hf.errors import UserError, listed
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Labels:
    """How labels of one data set become numbers.

    problem: SINGLE, MULTI or REGRESSION.
    names:   of the classes, in the order of their numbers; empty for a regression.
    index:   label as the data writes it -> class number; empty for a regression.
    one_hot: MULTI only: a row is a 0/1 list as long as ``names``, not a list of labels.
    """

    problem: str
    names: tuple[str, ...] = ()
    index: Mapping[Hashable, int] | None = None
    one_hot: bool = False

    def encode(self, where: str, values: Sequence[Any]) -> list[Any]:
        """Final labels: int in [0, C), float, or C floats of 0/1; ``values`` as :func:`label_values` gives them.

        Raises:
            UserError: for a label that is not among the names, naming it, its rows and the names.
        """
        if self.problem == REGRESSION:
            return [float(value) for value in values]
        if self.one_hot:
            return [[float(one) for one in value] for value in values]
        index = self.index or {}
        rows = [value if self.problem == MULTI else [value] for value in values]
        unknown: dict[Any, list[int]] = {}
        for number, row in enumerate(rows):
            for label in row:
                if label not in index:
                    unknown.setdefault(label, []).append(number)
        if unknown:
            first, numbers = next(iter(unknown.items()))
            more = f" and {len(unknown) - 1} more such labels" if len(unknown) > 1 else ""
            raise UserError(
                f"{where} has the label {first!r} ({row_numbers(numbers)}){more}, which training data never had;"
                f" labels there: {listed(list(index))}."
            )
        if self.problem == SINGLE:
            return [index[value] for value in values]
        return [[float(number in chosen) for number in range(len(self.names))] for chosen in _chosen(rows, index)]


def _chosen(rows: Sequence[Sequence[Any]], index: Mapping[Hashable, int]) -> list[set[int]]:
    return [{index[label] for label in row} for row in rows]


def row_numbers(numbers: Sequence[int], most: int = 5) -> str:
    """``rows 1, 4, 7 …``: row numbers of a message count from 1 and leave the header out."""
    shown = ", ".join(str(number + 1) for number in numbers[:most]) + (" …" if len(numbers) > most else "")
    return f"row{'s' if len(numbers) > 1 else ''} {shown}"


def label_values(split: Columns, column: str) -> tuple[str, list[Any]]:
    """The kind of a label column ("name", "boolean", "integer", "real" or "list") and its values, none missing.

    Cells of CSV and TSV are integers when all look like integers, real when all look like numbers and one has a
    decimal point or an exponent, and lists when all are in brackets; in the other formats the type says it. Whole
    numbers among real ones are real. ``5.0`` is real everywhere.

    Raises:
        UserError: for missing labels and for more than one kind in the column, with how many and the first rows.
    """
    values = split.values(column)
    missing = [number for number, value in enumerate(values) if value is None]
    if missing:
        raise UserError(
            f"{split.where}: {len(missing)} of {len(values)} rows have no label in column {column!r}"
            f" ({row_numbers(missing)}); fill them or leave these rows out."
        )
    if split.cells:
        values = [_typed(cell) for cell in values]
    kinds = [_kind(value) for value in values]
    found = Counter(kinds)
    if set(found) == {"integer", "real"}:
        return "real", values
    if len(found) > 1:
        parts = []
        for kind, count in sorted(found.items()):
            first = kinds.index(kind)
            parts.append(f"{count} {kind} (row {first + 1}: {values[first]!r})")
        raise UserError(f"{split.where}: column {column!r} holds more than one kind of label: {', '.join(parts)}.")
    kind = kinds[0]
    if kind == "real" and not all(math.isfinite(value) for value in values):
        bad = [number for number, value in enumerate(values) if not math.isfinite(value)]
        raise UserError(f"{split.where}: column {column!r} holds infinite labels ({row_numbers(bad)}).")
    if kind not in ("name", "boolean", "integer", "real", "list"):
        raise UserError(
            f"{split.where}: column {column!r} holds labels of type {kind}; names, numbers or lists of them are known."
        )
    return kind, values


def _typed(cell: str) -> Any:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if NUMBER.fullmatch(cell):
        return float(cell)
    if cell.startswith("[") and cell.endswith("]"):
        try:
            return ast.literal_eval(cell)  # the list of Python and of JSON: ["a", "b"], [0, 2]
        except (ValueError, SyntaxError):
            return cell
    return cell


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, types in (("name", str), ("integer", int), ("real", float), ("list", list)):
        if isinstance(value, types):
            return kind
    return type(value).__name__


def read_labels(
    splits: Mapping[str, tuple[Columns, str]],
    *,
    regression: bool = False,
    known: Sequence[str] = (),
    learns: bool = True,
) -> tuple[Labels, dict[str, list[Any]]]:
    """Judge the labels of all splits together; the first split (train, where there is one) says which labels exist.

    Args:
        splits: name -> (split, its label column); at least one.
        regression: force values; integers then are values too.
        known: class names in the order of their numbers, when something else fixes it (a task, a model). Integer
            labels then are these numbers.
        learns: require two classes.

    Order without ``known``: the order that the data declares (``ClassLabel``), else names sorted as strings, integers
    by value, booleans False, True.

    Returns:
        The labels and, by split, the values in their final form.

    Raises:
        UserError: as :func:`label_values`; for kinds that differ between splits, a single class, labels that do not
            fit ``regression`` or ``known``, and labels that train never had.
    """
    kinds, values = {}, {}
    for key, (split, column) in splits.items():
        kinds[key], values[key] = label_values(split, column)
    first = next(iter(splits))
    split, column = splits[first]
    kind = kinds[first]
    if set(kinds.values()) == {"integer", "real"}:
        kind = "real"
    for key, other in kinds.items():
        if other != kind and {other, kind} != {"integer", "real"}:
            raise UserError(
                f"Labels of {splits[key][0].where} are of the kind {other} (row 1: {values[key][0]!r}),"
                f" those of {split.where} of the kind {kind} (row 1: {values[first][0]!r})."
            )
    if regression and kind not in ("integer", "real"):
        raise UserError(
            f"{split.where}: a regression needs numbers in column {column!r}, which holds labels of the kind {kind}"
            f" (row 1: {values[first][0]!r})."
        )
    where = f"{split.where}: column {column!r}"
    if regression or kind == "real":
        if known:
            raise UserError(f"{where} holds real numbers, but classes are expected: {listed(known)}.")
        labels = Labels(REGRESSION)
    elif kind == "list":
        labels = _several(where, values[first], split.class_names.get(column, ()), known, learns)
    else:
        labels = _one(where, kind, values[first], split.class_names.get(column, ()), known, learns)
    encoded = {}
    for key, (other, _) in splits.items():
        if labels.one_hot:
            _require_length(other.where, values[key], len(labels.names))
        encoded[key] = labels.encode(other.where, values[key])
    return labels, encoded


def _one(
    where: str, kind: str, values: Sequence[Any], declared: Sequence[str], known: Sequence[str], learns: bool
) -> Labels:
    present = set(values)
    if learns and len(present) == 1:
        raise UserError(f"{where} has a single class, {next(iter(present))!r}; there is nothing to learn.")
    return Labels(SINGLE, *_order(where, kind, present, declared, known))


def _order(
    where: str, kind: str, present: set[Any], declared: Sequence[str], known: Sequence[str]
) -> tuple[tuple[str, ...], dict[Hashable, int]]:
    if known:
        index: dict[Hashable, int] = {
            number if kind == "integer" else name: number for number, name in enumerate(known)
        }
        strange = sorted(present - set(index), key=str)
        if strange:
            raise UserError(f"{where} holds {listed(strange)}, but the labels are {listed(list(index))}.")
        return tuple(known), index
    if declared:
        # a class that train lacks keeps its number, so that heads of other models fit; other splits may not use it
        return tuple(declared), {name: number for number, name in enumerate(declared) if name in present}
    ordered = sorted(present)
    return tuple(map(str, ordered)), {label: number for number, label in enumerate(ordered)}


def _several(
    where: str, rows: Sequence[list[Any]], declared: Sequence[str], known: Sequence[str], learns: bool
) -> Labels:
    """Multi-label. Rows of equal length >= 2 that hold only 0 and 1 are 0/1 lists: as lists of labels they would say
    that each row has both."""
    flat = [label for row in rows for label in row]
    kinds = {_kind(label) for label in flat}
    if not flat:
        raise UserError(f"{where} holds only empty lists; there is nothing to learn.")
    numbers = kinds <= {"integer", "real"} and set(flat) <= {0, 1}
    if numbers and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
        names = tuple(known or declared or map(str, range(len(rows[0]))))
        _require_length(where, rows, len(names))
        return Labels(MULTI, names, one_hot=True)
    if len(kinds) > 1 or not kinds <= {"name", "integer"}:
        raise UserError(f"{where} holds lists of the kinds {', '.join(sorted(kinds))}; one of name, integer is known.")
    present = set(flat)
    if learns and len(present) == 1:
        raise UserError(f"{where} has a single label, {flat[0]!r}; there is nothing to learn.")
    return Labels(MULTI, *_order(where, kinds.pop(), present, declared, known))


def _require_length(where: str, rows: Sequence[Any], length: int) -> None:
    bad = [i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != length or not set(row) <= {0, 1}]
    if bad:
        raise UserError(f"{where}: 0/1 lists must have {length} entries of 0 or 1, unlike {row_numbers(bad)}.")
