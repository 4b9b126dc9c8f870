"""Texts of another origin that the finished model is judged on as well."""

from __future__ import annotations

from collections.abc import Mapping

from logitmix_hf.errors import UserError
from logitmix_hf.text.data import TextData, TextRequest, load_text_data
from logitmix_hf.training.shift import matched, of_flag, split_name, unlabelled_names, with_shift, with_unlabelled
from logitmix_hf.training.text.beside import has_labels, shift_request, unlabelled_texts


def with_shifted_texts(data: TextData, shifts: Mapping[str, str], request: TextRequest) -> tuple[TextData, list[str]]:
    """The data with the judged splits of each place, labelled and in columns as its own are; and what was taken for granted.

    Args:
        shifts: place by name.
        request: the one that ``data`` was loaded by.

    Raises:
        UserError: as :func:`load_text_data`, and for labels or columns that are not those of the data.
    """
    notes = []
    for name, place in shifts.items():
        flag = f"--shift {name}={place}"
        try:
            with of_flag(flag):
                found = load_text_data(shift_request(place, request))
        except UserError:
            if has_labels(place, data, request):
                raise
            made = unlabelled_names(name, unlabelled_texts(flag, place, data, request)[0])
            data, note = with_unlabelled(data, flag, made)
            notes.append(note)
            continue
        if found.problem != data.problem:
            raise UserError(
                f"--shift {name}={place}: its labels are {found.problem}, those of the data {data.problem}."
            )
        if len(found.columns) != len(data.columns):
            raise UserError(
                f"--shift {name}={place}: it has {len(found.columns)} columns of text ({', '.join(found.columns)}), the"
                f" data {len(data.columns)} ({', '.join(data.columns)}): name them by --text_columns, or rename them."
            )
        renamed = _renamed(found.columns, data.columns)
        if data.label_names:
            match = matched(name, place, data, found)
            found = found.relabelled(data.label_names, match.numbers)
            notes += [f"--shift {name}={place}: {match.note}"] if match.note else []
        splits = {}
        for judged in found.judged:
            split = found.validation[judged.name]
            splits[split_name(name, found, judged)] = split.rename_columns(renamed) if renamed else split
        data = with_shift(data, name, place, splits)
    return data, notes


def _renamed(theirs: tuple[str, ...], ours: tuple[str, ...]) -> dict[str, str]:
    """New names by old ones. What is called alike is the same, wherever it stands; only the rest goes by its order."""
    rest = [column for column in theirs if column not in ours], [column for column in ours if column not in theirs]
    return dict(zip(*rest, strict=True))
