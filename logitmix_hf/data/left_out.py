"""Rows and images that were left out: which and why, in a line and for ``data.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ON_BAD_ROW = ("stop", "skip")
"""What is done with rows that cannot be used."""
_NAMED = 5  # rows of a message; the rest are counted


@dataclass(frozen=True)
class LeftOut:
    """A row that was left out.

    place: ``row 7 (line 8)`` of a file, or the name of an image; rows count from 1 and leave the header out.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place.partition('(')[2].rstrip(')') if '(line' in self.place else self.place} ({self.reason})"


def left_out_facts(found: Mapping[str, Sequence[LeftOut]]) -> list[dict[str, str]]:
    """All of them, by the split that they were read in, for ``data.json``."""
    return [{"split": name, "place": row.place, "reason": row.reason} for name, rows in found.items() for row in rows]


def left_out_line(where: str, rows: Sequence[LeftOut]) -> str:
    """``3 rows skipped: reviews.csv line 7 (no label), line 19 (no label), line 20 (no label)``."""
    return f"{len(rows)} row{'s' * (len(rows) > 1)} skipped: {where} {first_of(rows)}"


def first_of(rows: Sequence[LeftOut]) -> str:
    """The first few, and how many more there are."""
    more = len(rows) - _NAMED
    return ", ".join(map(str, rows[:_NAMED])) + (f", and {more} more" if more > 0 else "")
