"""A table as LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from logitmix_hf.errors import printable
from logitmix_hf.reporting.comparison.tables import ScoreTable, TableCell

_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "°": r"$^{\circ}$",
    "–": "--",
    "·": r"$\cdot$",
    "−": "$-$",
    "\0": "{}",  # two hyphens beside each other, as in a flag, would be set as a dash
    '"': "''",
}


def latex_text(text: object) -> str:
    """Somebody's words as LaTeX that shows them as they are, for any engine: what is no ASCII stands as ``?``."""
    words = " ".join(printable(" ".join(str(text).split())).split()).replace("--", "-\0-").replace("--", "-\0-")
    return "".join(_SPECIAL.get(letter, letter if letter.isascii() else _plain(letter)) for letter in words)


def _plain(letter: str) -> str:
    import unicodedata

    base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return base or "?"


def latex_tables(tables: Sequence[ScoreTable], notes: Sequence[str] = ()) -> str:
    r"""Floats to be taken over by ``\input``; they need ``\usepackage{booktabs}``."""
    lines = ["% \\usepackage{booktabs}", *(f"% {latex_text(note)}" for note in notes)]
    return "\n".join([*lines, *map(_table, tables)]) + "\n"


def _table(table: ScoreTable) -> str:
    align = "".join("r" if head.numeric else "l" for head in table.heads)
    lines = [
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{latex_text(table.caption)}}}",
        f"\\begin{{tabular}}{{{align}}}",
    ]
    lines += [r"\toprule", " & ".join(latex_text(head.text) for head in table.heads) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_cell, row)) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _cell(cell: TableCell) -> str:
    text = latex_text(cell.text)
    text = f"\\textbf{{{text}}}" if cell.strong else text
    small = latex_text(cell.small)
    return f"{text} {{\\scriptsize {small}}}" if small else text
