"""Weights of classes: as numbers in the order of the labels, by name, or balanced by the counts of the training rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from logitmix_hf.errors import UserError, check_number, listed, pick

if TYPE_CHECKING:
    import numpy as np

BALANCED = "balanced"
ClassWeights = list[float] | dict[str, float] | str
"""Numbers in the order of the labels, weights by name, or :data:`BALANCED`."""

_NAMED = re.compile(r"\s*(.+?)\s*=\s*([^,=\s]+)\s*(?:,|$)")


def read_class_weights(asked: Any) -> ClassWeights | None:
    """What was asked for: ``"balanced"``; ``"good=1,bad=3"`` or a mapping, where a name that is left out weighs 1; numbers,
    also as words, for each class.

    Raises:
        UserError: for anything else, and for a weight below 0.
    """
    if asked is None:
        return None
    if isinstance(asked, list) and len(asked) == 1 and str(asked[0]).startswith("{"):
        with suppress(ValueError):  # a mapping of Python, as a word
            asked = json.loads(asked[0])
    if isinstance(asked, Mapping):
        found: ClassWeights = {str(name): value for name, value in asked.items()}
    else:
        words = [asked] if isinstance(asked, str | int | float) else list(asked)
        if [str(word).strip() for word in words] == [BALANCED]:
            return BALANCED
        if any(isinstance(word, str) and "=" in word for word in words):
            found = _by_name([str(word) for word in words])
        else:
            parts = [word.split(",") if isinstance(word, str) else [word] for word in words]
            found = [_number(part) for some in parts for part in some if str(part).strip()]
    for name, value in found.items() if isinstance(found, dict) else enumerate(found):
        check_number("class_weights" if isinstance(name, int) else f"class_weights of {name!r}", value, low=0)
    return found


def _by_name(words: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in words:
        end = 0
        for match in _NAMED.finditer(word):
            if match.start() != end:
                break
            if match[1] in found:
                raise UserError(f"class_weights names {match[1]!r} twice.")
            found[match[1]], end = _number(match[2]), match.end()
        if end != len(word):
            raise UserError(f"class_weights has {word[end:]!r}, but name=weight,name=weight was expected.")
    return found


def _number(word: Any) -> float:
    try:
        return float(word)
    except (TypeError, ValueError):
        raise UserError(
            f"class_weights takes {BALANCED}, name=weight,… or a number for each class, got {word!r}."
        ) from None


def weights_in_order(asked: ClassWeights, names: Sequence[str], labels: np.ndarray | None) -> list[float]:
    """A weight for each class.

    Balanced, of one class a row: N / (C n_c), scikit-learn's "balanced", so that all classes weigh the same together; of
    several labels a row: the rows without label c by those with it, PyTorch's advice for ``pos_weight``. A class that no row
    has, or that every row has, weighs 1.

    Args:
        names: of the C classes, in the order of the labels.
        labels: (N,) class numbers or (N, C) of 0 and 1 of the training rows; None where there are none.

    Raises:
        UserError: for another number of weights, a name that is no class, and balanced weights without rows.
    """
    if isinstance(asked, dict):
        known = dict.fromkeys(names, 1.0)
        for name, weight in asked.items():
            pick(known, name, "class for class_weights")
            known[name] = weight
        return list(known.values())
    if isinstance(asked, str):
        return _balanced(names, labels)
    if len(asked) != len(names):
        raise UserError(
            f"class_weights has {len(asked)} values, the data has {len(names)} labels"
            f" ({listed(names, quote=False) or 'a value'}): give one each, in this order, or"
            f" name=weight,…, or {BALANCED}."
        )
    return [float(weight) for weight in asked]


def _balanced(names: Sequence[str], labels: np.ndarray | None) -> list[float]:
    import numpy as np

    if labels is None or not len(labels):
        raise UserError(f"class_weights {BALANCED} counts the training rows, but there are none: give name=weight,….")
    labels = np.asarray(labels)
    several = labels.ndim == 2 and labels.shape[1] == len(names)
    counts = labels.sum(0) if several else np.bincount(labels.reshape(-1).astype(int), minlength=len(names))
    rows, classes = len(labels), len(names)
    if len(counts) > classes:
        raise UserError(f"a label is {len(counts) - 1}, but the classes are 0 to {classes - 1}.")
    return [
        1.0 if not n or (several and n == rows) else float((rows - n) / n if several else rows / (classes * n))
        for n in counts
    ]
