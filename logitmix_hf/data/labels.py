"""What the labels of a data set are: classes, several classes a row, or values; their order and their numbers.

Columns are judged as a whole, of all splits together, and what was made of them is noted where it is not plain.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logitmix_hf.data.cells import NUMBER, read_cells
from logitmix_hf.data.rows import Columns
from logitmix_hf.errors import UserError, listed
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE

_MISSING = {"nan", "NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "NaT", "None", "null", "NULL", "#N/A"}
_NO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_LARGEST = 1e37
_STEPS = 16  # of single precision that a deviation must span
_FEW = 20  # whole numbers written as real ones that may well be classes


@dataclass(frozen=True)
class Labels:
    """How labels of one data set become numbers.

    problem: SINGLE, MULTI or REGRESSION.
    names:   of the classes, in the order of their numbers; empty for a regression.
    index:   label as the data writes it -> class number; empty for a regression.
    one_hot: MULTI only: a row is a 0/1 list as long as ``names``, not a list of labels.
    notes:   what was made of labels that are not plain, one line each.
    """

    problem: str
    names: tuple[str, ...] = ()
    index: Mapping[Hashable, int] | None = None
    one_hot: bool = False
    notes: tuple[str, ...] = ()

    def encode(self, where: str, values: Sequence[Any]) -> list[Any]:
        """Final labels: int in [0, C), float, or C floats of 0/1.

        Raises:
            UserError: for a label that is not among the names, naming it, its rows and the names.
        """
        if self.problem == REGRESSION:
            return [float(value) for value in values]
        if self.one_hot:
            fits = [isinstance(row, list) and len(row) == len(self.names) and set(row) <= {0, 1} for row in values]
            if bad := [row for row, good in enumerate(fits) if not good]:
                raise UserError(
                    f"{where}: 0/1 lists must have {len(self.names)} entries of 0 or 1, unlike {row_numbers(bad)}."
                )
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
                f" labels there: {_labels_text(index)}."
            )
        if self.problem == SINGLE:
            return [index[value] for value in values]
        chosen = [{index[label] for label in row} for row in rows]
        return [[float(number in one) for number in range(len(self.names))] for one in chosen]


def row_numbers(numbers: Sequence[int]) -> str:
    """``rows 1, 4, 7 …``: row numbers of a message count from 1 and leave the header out."""
    listed_rows = ", ".join(str(number + 1) for number in numbers[:5]) + (" …" if len(numbers) > 5 else "")
    return f"row{'s' if len(numbers) > 1 else ''} {listed_rows}"


def _labels_text(labels: Iterable[Any]) -> str:
    """Labels as the data has them: names in quotes, a few numbers without."""
    labels = list(labels)
    return ", ".join(map(str, labels)) if len(labels) <= _FEW and str not in map(type, labels) else listed(labels)


def read_labels(
    splits: Mapping[str, tuple[Columns, str]],
    *,
    regression: bool | None = None,
    known: Sequence[str] = (),
    learns: bool = True,
) -> tuple[Labels, dict[str, list[Any]]]:
    """Judge the labels of all splits together; the first split (train, where there is one) says which labels exist.

    Cells of CSV and TSV are read by :func:`logitmix_hf.data.cells.read_cells`; in the other formats the type says what
    a value is. Whole numbers among real ones are real. Names that differ by spaces at their ends, or in how Unicode
    writes them, are one.

    Args:
        splits: name -> (split, its label column); at least one.
        regression: True: integers are values too. False: real numbers are classes. None: neither.
        known: class names in the order of their numbers, when something else fixes it (a task, a model). Integer
            labels then are these numbers.
        learns: require two classes.

    Order without ``known``: the order that the data declares (``ClassLabel``), else names sorted as strings, integers
    by value, booleans False, True.

    Returns:
        The labels and, by split, the values in their final form.

    Raises:
        UserError: for missing labels, more than one kind in a column or between splits, a single class, labels that do
            not fit ``regression`` or ``known``, and labels that train never had.
    """
    first, (split, column) = next(iter(splits.items()))
    where, declared = f"{split.where}: column {column!r}", split.class_names.get(column, ())
    values = {key: _complete(*one) for key, one in splits.items()}
    cells, note = read_cells(where, {key: values[key] for key in splits if splits[key][0].cells}, regression)
    values, notes = values | cells, [note] * bool(note)
    if not declared:
        values = {key: _alike(where, some, known, notes) for key, some in values.items()}
        notes += [*_differ_by_case(where, values[first]), *_doubtful(where, values[first])]
    kinds = {key: _kind_of(*splits[key], some) for key, some in values.items()}
    kind = "real" if set(kinds.values()) == {"integer", "real"} else kinds[first]
    for key, other in kinds.items():
        if other != kind and {other, kind} != {"integer", "real"}:
            raise UserError(
                f"Labels of {splits[key][0].where} are of the kind {other} (row 1: {values[key][0]!r}),"
                f" those of {split.where} of the kind {kind} (row 1: {values[first][0]!r})."
            )
    if kind == "real" and regression is False:
        kind, values = _real_classes(values)
    if regression and kind not in ("integer", "real"):
        raise UserError(
            f"{split.where}: a regression needs numbers in column {column!r}, which holds labels of the kind {kind}"
            f" (row 1: {values[first][0]!r})."
        )
    if regression or kind == "real":
        if known:
            raise UserError(f"{where} holds real numbers, but classes are expected: {listed(known)}.")
        labels = Labels(REGRESSION)
        for key, some in values.items():
            _check_values(f"{splits[key][0].where}: column {splits[key][1]!r}", some, learns and key == first)
        few = set().union(*values.values())
        if not regression and len(few) <= _FEW and all(value == int(value) for value in few):
            notes.append(
                f"{where} holds real numbers, all of them whole, taken as values; --regression false: classes."
            )
    elif kind == "list":
        labels = _several(where, values[first], declared, known, learns)
    else:
        present = set(values[first])
        if learns and len(present) == 1:
            raise UserError(f"{where} has a single class, {next(iter(present))!r}; there is nothing to learn.")
        labels = Labels(SINGLE, *_order(where, kind, present, declared, known))
        if -1 in present and {0, 1} <= present:
            count = f"{values[first].count(-1)} of {len(values[first])} rows"
            notes.append(
                f"{where} holds -1 in {count}, taken as a class; where it means no label, leave these rows out."
            )
    encoded = {key: labels.encode(splits[key][0].where, some) for key, some in values.items()}
    return replace(labels, notes=tuple(notes)), encoded


def _check_values(where: str, values: Sequence[float], learns: bool) -> None:
    """Require values that a network's single precision can hold and, where it ``learns`` them, tell apart."""
    if bad := [row for row, value in enumerate(values) if abs(value) > _LARGEST]:
        raise UserError(
            f"{where} holds values beyond {_LARGEST:g}, which single precision cannot hold ({row_numbers(bad)}): give"
            " them in a larger unit, or their logarithms."
        )
    if not learns:
        return
    if len(set(values)) == 1:
        raise UserError(f"{where} has a single value, {values[0]!r}; there is nothing to learn.")
    deviation, step = float(np.std(values)), float(np.spacing(np.float32(max(map(abs, values)))))
    if deviation < _STEPS * step:
        raise UserError(
            f"{where} holds values from {min(values)!r} to {max(values)!r}, closer together than single precision tells"
            f" apart there (steps of {step:.2g}): take a number such as {min(values)!r} off all of them, or give them in"
            " a smaller unit."
        )


def unlabelled_note(split: Columns, column: str) -> list[str]:
    """One line where some rows of a test split have a label and others none: then none is judged."""
    if column not in split.names:
        return []
    values = split.values(column)
    if not (missing := [row for row, value in enumerate(values) if value is None]) or len(missing) == len(values):
        return []
    return [
        f"{split.where}: {len(missing)} of {len(values)} rows have no label ({row_numbers(missing)}), so that none is"
        " judged: leave these rows out to have the others scored."
    ]


def tells_labels(split: Columns, column: str, first: Columns) -> bool:
    """Whether a test split tells its labels: it has the column, no row lacks one, and not all are -1 (as in GLUE), unless
    the first split has that label too."""
    values = split.values(column) if column in split.names else [None]
    none = (-1, "-1")
    return None not in values and (any(value not in none for value in values) or -1 in first.values(column))


def _complete(split: Columns, column: str) -> list[Any]:
    values = split.values(column)
    missing = [row for row, value in enumerate(values) if value is None or not str(value).strip()]
    if missing:
        raise UserError(
            f"{split.where}: {len(missing)} of {len(values)} rows have no label in column {column!r}"
            f" ({row_numbers(missing)}); fill them or leave these rows out (--on_bad_row skip)."
        )
    return values


def _alike(where: str, values: list[Any], known: Sequence[str], notes: list[str]) -> list[Any]:
    """The values with names that look alike as one: without spaces at their ends, accents written in one way."""
    names = _names_in(values)
    same = {name: plain for name in names - {*known} if (plain := plain_name(name)) != name}
    if not same:
        return values
    pairs = sorted((name, plain) for name, plain in same.items() if plain in names or [*same.values()].count(plain) > 1)
    if pairs:
        examples = ", ".join(f"{name!r} as {plain!r}" for name, plain in pairs[:3]) + " …" * (len(pairs) > 3)
        notes.append(f"{where} has labels that differ by spaces or accents alone; taken as one: {examples}.")

    def plain_of(value: Any) -> Any:
        if isinstance(value, list):
            return [plain_of(one) for one in value]
        return same.get(value, value) if isinstance(value, str) else value

    return [plain_of(value) for value in values]


def plain_name(name: str) -> str:
    """Without what nobody sees at its ends: spaces of any kind, marks of no width (as between files put together)."""
    plain = unicodedata.normalize("NFC", name)
    return re.sub(rf"^[\s{_NO_WIDTH}]+|[\s{_NO_WIDTH}]+$", "", plain) or plain


def _doubtful(where: str, values: list[Any]) -> list[str]:
    """What class names look like that people do not mean as names."""
    found = Counter(value for value in values if isinstance(value, str))
    notes = []
    if missing := [name for name in found if name in _MISSING]:
        told = ", ".join(f"{name!r} ({found[name]} row{'s' * (found[name] > 1)})" for name in sorted(missing))
        notes.append(f"{where} holds {told}, which often stands for no label; taken as the name of a class.")
    numbers = [name for name in found if re.fullmatch(r"[-+]?\d{1,3}(?:[.,\u00a0 ]\d{3})*(?:[.,]\d+)?\s?[%€$£]?", name)]
    if found and len(numbers) == len(found) and (odd := [name for name in numbers if not NUMBER.fullmatch(name)]):
        notes.append(
            f"{where} holds numbers such as {odd[0]!r}, taken as names of classes; as numbers they are written 1500.5."
        )
    for sign in "|;,+/":
        split = {name: [part.strip() for part in name.split(sign)] for name in found if sign in name}
        again = Counter(part for parts in split.values() for part in set(parts)) if sign in "|;" else {}
        joined = [
            name for name, parts in split.items() if all(part in found or again.get(part, 0) > 1 for part in parts)
        ]
        if joined:
            notes.append(
                f"{where} holds labels that look joined of others by {sign!r} ({listed(joined, 3)}), each taken as a class"
                ' of its own; several labels a row are written as a list: ["a", "b"].'
            )
    return notes


def _names_in(values: list[Any]) -> set[str]:
    flat = (one for value in values for one in (value if isinstance(value, list) else [value]))
    return {one for one in flat if isinstance(one, str)}


def _differ_by_case(where: str, values: list[Any]) -> list[str]:
    forms: dict[str, list[str]] = {}
    for name in sorted(_names_in(values)):
        forms.setdefault(name.casefold(), []).append(name)
    found = [listed(some, 3) for some in forms.values() if len(some) > 1]
    return [f"{where} has labels that differ by case alone: {'; '.join(found[:3])}."] * bool(found)


def _kind_of(split: Columns, column: str, values: list[Any]) -> str:
    """The kind of all values of one split: "name", "boolean", "integer", "real" or "list"."""
    kinds = [kind_of_label(value) for value in values]
    found = Counter(kinds)
    if set(found) == {"integer", "real"}:
        return "real"
    if len(found) > 1:
        parts = []
        for kind, count in sorted(found.items()):
            first = kinds.index(kind)
            parts.append(f"{count} {kind} (row {first + 1}: {values[first]!r})")
        raise UserError(f"{split.where}: column {column!r} holds more than one kind of label: {', '.join(parts)}.")
    kind = kinds[0]
    if kind == "real" and (bad := [row for row, value in enumerate(values) if not math.isfinite(value)]):
        raise UserError(f"{split.where}: column {column!r} holds infinite labels ({row_numbers(bad)}).")
    if kind not in ("name", "boolean", "integer", "real", "list"):
        raise UserError(
            f"{split.where}: column {column!r} holds labels of type {kind}; names, numbers or lists of them are known."
        )
    return kind


def kind_of_label(value: Any) -> str:
    """ "name", "boolean", "integer", "real" or "list"; else the name of its type."""
    if isinstance(value, bool):
        return "boolean"
    for kind, types in (("name", str), ("integer", int), ("real", float), ("list", list)):
        if isinstance(value, types):
            return kind
    return type(value).__name__


def _real_classes(values: Mapping[str, list[Any]]) -> tuple[str, dict[str, list[Any]]]:
    """Real numbers as classes: whole ones are integers, others are named as they are written."""
    if all(value == int(value) for some in values.values() for value in some):
        return "integer", {key: list(map(int, some)) for key, some in values.items()}
    return "name", {key: [str(float(value)) for value in some] for key, some in values.items()}


def _order(
    where: str, kind: str, present: set[Any], declared: Sequence[str], known: Sequence[str]
) -> tuple[tuple[str, ...], dict[Hashable, int]]:
    if known:
        index: dict[Hashable, int] = {
            number if kind == "integer" else name: number for number, name in enumerate(known)
        }
        strange = sorted(present - set(index), key=str)
        if strange:
            raise UserError(f"{where} holds {_labels_text(strange)}, but the labels are {_labels_text(index)}.")
        return tuple(known), index
    if declared:
        # a class that train lacks keeps its number, so that heads of other models fit; other splits may not use it
        return tuple(declared), {name: number for number, name in enumerate(declared) if name in present}
    ordered = sorted(present)
    return tuple(map(str, ordered)), {label: number for number, label in enumerate(ordered)}


def _several(
    where: str, rows: Sequence[list[Any]], declared: Sequence[str], known: Sequence[str], learns: bool
) -> Labels:
    """Multi-label. Rows of equal length >= 2 that hold only 0 and 1 (or false and true) are 0/1 lists: as lists of
    labels they would say that each row has both."""
    flat = [label for row in rows for label in row]
    kinds = {kind_of_label(label) for label in flat}
    if not flat:
        raise UserError(f"{where} holds only empty lists; there is nothing to learn.")
    numbers = kinds <= {"integer", "real", "boolean"} and set(flat) <= {0, 1}
    if numbers and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
        names = tuple(known or declared or map(str, range(len(rows[0]))))
        return Labels(MULTI, names, one_hot=True)
    if len(kinds) > 1 or not kinds <= {"name", "integer"}:
        raise UserError(f"{where} holds lists of the kinds {', '.join(sorted(kinds))}; one of name, integer is known.")
    present = set(flat)
    if learns and len(present) == 1:
        raise UserError(f"{where} has a single label, {flat[0]!r}; there is nothing to learn.")
    return Labels(MULTI, *_order(where, kinds.pop(), present, declared, known))
