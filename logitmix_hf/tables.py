"""Tables as text: aligned for a terminal, and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from logitmix_hf.errors import printable


def aligned_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "", rule: bool = True) -> str:
    """Columns of even width, two spaces apart.

    Args:
        head: a word for each column.
        rows: a cell for each column; what a terminal would obey is escaped.
        align: a letter a column, ``l`` or ``r``; those that are not named stand at the left.
        rule: whether a line of dashes stands below the head.
    """
    lines = [[printable(str(cell)) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines[1:1] = [["-" * width for width in widths]] if rule else []
    sides = [align[column : column + 1] or "l" for column in range(len(widths))]

    def padded(line: Sequence[str]) -> str:
        cells = zip(line, widths, sides, strict=True)
        return "  ".join(cell.rjust(width) if side == "r" else cell.ljust(width) for cell, width, side in cells)

    return "\n".join(padded(line).rstrip() for line in lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table of Markdown whose cells are Markdown already; ``align`` as in :func:`aligned_table`."""
    rule = ["---:" if align[column : column + 1] == "r" else "---" for column in range(len(head))]
    lines = [[_cell(cell) for cell in line] for line in (head, rule, *rows)]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines)


def _cell(markdown: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(str(markdown).split()))


def markdown_text(text: object) -> str:
    """Somebody's words as Markdown that shows them as they are, on one line, also within a table."""
    words = " ".join(printable(" ".join(str(text).split())).split()).replace("&", "&amp;").replace("<", "&lt;")
    words = re.sub(r"([\\`*\[\]|~$])", r"\\\1", words)
    words = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", words)  # within a word it is a letter
    # What makes a heading, a quotation, a list or a rule of a line that begins with it.
    return re.sub(r"^(?=[#>]|[-+](?: |$)|[-=]+$)|^(\d{1,9})(?=[.)](?: |$))", r"\1\\", words)


def markdown_code(text: object) -> str:
    """Somebody's words as code within a line of Markdown."""
    words = printable(" ".join(str(text).split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    pad = " " if words.startswith("`") or words.endswith("`") or not words else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def markdown_block(text: str, language: str = "") -> str:
    """Somebody's lines as a block of code, which nothing in them can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "\n".join([f"{fence}{language}", *map(printable, text.split("\n")), fence])


def csv_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as a CSV file, its texts by :func:`csv_text`; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([csv_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


_BEGINS_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20].", re.DOTALL)


def csv_text(text: str) -> str:
    """Somebody's words for a cell of a CSV file: what a spreadsheet would compute instead of showing (``=HYPERLINK(…)``, and
    whatever begins with =, +, -, @ or a control character, also in full width, and is no number) gets an apostrophe in
    front, which says "text"."""
    return f"'{text}" if _BEGINS_FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
