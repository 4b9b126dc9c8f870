"""Tables of what a run was judged on beside its own data: corrupted images, and data of no class."""

from __future__ import annotations

import math
from collections.abc import Sequence

from logitmix_hf.evaluation.corruption import PREFIX, SCORES
from logitmix_hf.evaluation.ood import OOD_MEASURES, OOD_SCORES
from logitmix_hf.reporting.comparison.scores import CORRUPTED_KEY, OOD_KEY, ScoredVariant
from logitmix_hf.reporting.comparison.tables import Head, ScoreTable, TableCell, seeds

_SHORT = {"auroc": "AUROC", "aupr_out": "AUPR out", "aupr_in": "AUPR in", "fpr95": "FPR95"}
_HEADS = {"accuracy": ("accuracy", "descending"), "nll": ("NLL", "ascending"), "ece": ("ECE", "ascending")}


def ood_table(caption: str, methods: Sequence[ScoredVariant]) -> ScoreTable | None:
    """Methods × data of no class: every measure of every score, mean ± standard deviation over the seeds; None where no run
    was judged on such data."""
    keys = [
        match for method in methods for run in method.runs for key in run.values if (match := OOD_KEY.fullmatch(key))
    ]
    heads = [Head("method"), Head("no class", starts=True)]
    for title in OOD_SCORES.values():
        for place, (measure, name) in enumerate(OOD_MEASURES.items()):
            first, way = ("ascending", "less") if measure == "fpr95" else ("descending", "more")
            hint = f"{name}, by {title}; {way} is better"
            heads.append(Head(_SHORT[measure], hint, True, first, not place, f"{_SHORT[measure]} by {title}"))
    rows = []
    for method in methods:
        for name in dict.fromkeys(match[1] for match in keys):
            cells = [TableCell(method.label, seeds(method), method.label), TableCell(name, "", name)]
            keys_of = [f"ood_{name}_{score}_{measure}" for score in OOD_SCORES for measure in OOD_MEASURES]
            cells += [_cell(method, key) for key in keys_of]
            rows.append(cells)
    groups = [("", 2), *((title, len(OOD_MEASURES)) for title in OOD_SCORES.values())]
    return ScoreTable(caption, heads, rows, groups) if rows else None


def corruption_table(caption: str, methods: Sequence[ScoredVariant]) -> ScoreTable | None:
    """Methods and corruptions × scores, all images together first; mean ± standard deviation over the seeds; None where no
    run was judged on corrupted images."""
    found = (CORRUPTED_KEY.fullmatch(key) for method in methods for run in method.runs for key in run.values)
    names = dict.fromkeys(match[1] for match in found if match and not match[1].endswith("_uncalibrated"))
    heads = [Head("corruption"), Head("method", starts=True)]
    heads += [Head(_HEADS[score][0], "", True, _HEADS[score][1], score == "accuracy") for score in SCORES]
    rows = [
        [
            TableCell(name.replace("_", " "), "", name),
            TableCell(method.label, seeds(method), method.label),
            *(_cell(method, f"{PREFIX}{name}_{score}") for score in SCORES),
        ]
        for name in sorted(names, key=lambda name: (not name.startswith("all"), list(names).index(name)))
        for method in methods
    ]
    return ScoreTable(caption, heads, rows) if rows else None


def _cell(method: ScoredVariant, key: str) -> TableCell:
    value, spread = method.mean(key), method.spread(key)
    known = math.isfinite(value)
    small = f"± {spread:.3f}" if known and spread is not None else ""
    return TableCell(f"{value:.3f}" if known else "–", small, repr(value) if known else "")
