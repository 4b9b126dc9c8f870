"""Which of a model's classes each label of the data means, where both were named by different people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from logitmix_hf.errors import UserError, listed

_UNNAMED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Match:
    """numbers: of the model's classes, one for each label of the data, all different. note: in one line what was taken
    for granted, or "". names: of the classes of a model that has none of its own, as the data calls them; else ()."""

    numbers: tuple[int, ...]
    note: str = ""
    names: tuple[str, ...] = ()


def match_labels(model: Sequence[str], data: Sequence[str]) -> Match:
    """Find the data's labels among a model's classes: by name, by name without case and punctuation, by number where
    the data has numbers only, and in the same order where the model was never given names (``LABEL_0`` …).

    The data may lack classes of the model.

    Raises:
        UserError: with both lists, when none of that is possible.
    """
    for form in (str, _plain):
        places = {form(name): number for number, name in enumerate(model)}
        wanted = [form(name) for name in data]
        if len(places) == len(model) and len(set(wanted)) == len(wanted) and set(wanted) <= set(places):
            return Match(tuple(places[name] for name in wanted))
    model_labels = listed(list(model), 10)
    if all(re.fullmatch(r"\d+", name) and int(name) < len(model) for name in data):
        return Match(
            tuple(map(int, data)), f"The data's labels are numbers: taken for those of the classes {model_labels}."
        )
    if len(model) == len(data) and all(_UNNAMED.fullmatch(name) for name in model):
        note = f"The model does not name its classes ({model_labels}): taken in the data's order, {listed(list(data), 10)}."
        return Match(tuple(range(len(data))), note, tuple(data))
    raise UserError(
        f"The model tells apart {model_labels}, the data {listed(list(data), 10)}: they do not match by name. Rename the labels"
        " of the data as the model has them, or number them as it does, from 0."
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
