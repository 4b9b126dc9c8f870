"""Texts that belong to no class, in the columns of the own data."""

from __future__ import annotations

from collections.abc import Mapping

from logitmix_hf.text.data import TextData, TextRequest
from logitmix_hf.training.ood import ood_name, with_ood
from logitmix_hf.training.text.beside import unlabelled_texts


def with_ood_texts(data: TextData, places: Mapping[str, str], request: TextRequest) -> tuple[TextData, list[str]]:
    """The data with the texts of each place as splits without labels; and what of them was not looked at.

    Args:
        places: by name; of a data set the validation splits, else test, else all of it.
        request: the one that ``data`` was loaded by.

    Raises:
        UserError: for what cannot be read, and columns of text that are not as many as those of the data.
    """
    notes = []
    for name, place in places.items():
        made, label = unlabelled_texts(f"--ood {name}={place}", place, data, request)
        if label is not None:
            notes.append(f"--ood {name}={place}: its column {label!r} is not looked at: its rows are of no class.")
        data = with_ood(data, {ood_name(name, key, len(made)): split for key, split in made.items()})
    return data, notes
