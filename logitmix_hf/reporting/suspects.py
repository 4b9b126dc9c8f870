"""``suspects.csv``: rows whose label a model contradicts most, to be looked at by somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logitmix_hf.errors import listed
from logitmix_hf.evaluation import SINGLE, Predictions
from logitmix_hf.evaluation.suspects import find_suspects
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.tables import csv_table

FILE = "suspects.csv"
MOST = 1000
"""Rows in the file; more are counted."""
LONGEST = 300
"""Characters of a text in the file."""


def write_suspects(
    folder: RunFolder,
    splits: Mapping[str, Predictions],
    texts: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> str:
    """Write ``suspects.csv``, of all splits together the most contradicted first; a line that says how many there are.

    Columns: split, idx, label, answer, probability_of_label, probability_of_answer, and the texts. An earlier file goes
    where there is none now, or where a row has no single label. The file stays at home: it holds rows of the data.

    Args:
        splits: rows that were not trained on, by the name of their split.
        texts: by split, the text columns in the order of its rows.
    """
    found: list[tuple[float, list[Any]]] = []
    names = dict.fromkeys(column for columns in (texts or {}).values() for column in columns)
    by = ""
    judged = {name: p for name, p in splits.items() if p.problem == SINGLE and p.labels is not None and len(p)}
    blind = [name for name, p in judged.items() if len(set(p.predictions.tolist())) == 1 < len(p)]
    judged = {name: p for name, p in judged.items() if name not in blind}
    for name, p in judged.items():
        probabilities, answers = p.probabilities, p.predictions
        called, columns = p.class_names, (texts or {}).get(name, {})
        rows_found, by = find_suspects(probabilities, p.labels)  # type: ignore[arg-type]
        for row in rows_found.tolist():
            label, answer = int(p.labels[row]), int(answers[row])  # type: ignore[index]
            own, other = probabilities[row, label], probabilities[row, answer]
            told = [str(columns[column][row])[:LONGEST] if column in columns else "" for column in names]
            values = [name, int(p.idx[row]), called[label], called[answer], f"{own:.6f}", f"{other:.6f}", *told]  # type: ignore[index]
            found.append((float(own), values))
    if not found:
        (folder.path / FILE).unlink(missing_ok=True)
        told = f"No {FILE}: the model answers all rows of {listed(blind, quote=False)} alike, so it doubts no label."
        return told if blind else ""
    found.sort(key=lambda one: one[0])
    head = ["split", "idx", "label", "answer", "probability_of_label", "probability_of_answer", *names]
    folder.write_text(FILE, csv_table(head, [values for _, values in found[:MOST]]))
    rows = sum(map(len, judged.values()))
    first = f", the first {MOST:,} of them" if len(found) > MOST else ""
    have = "has" if len(found) == 1 else "have"
    return (
        f"{len(found):,} of the {rows:,} judged rows {have} a label that the model contradicts ({by}):"
        f" {folder.path / FILE}{first}."
    )
