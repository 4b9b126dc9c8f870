"""Which hosts get no more runs, and when a study stops: one bad node must not fail every run of it."""

from __future__ import annotations

from collections import defaultdict

from logitmix_hf.studies import outcome as ends

IN_A_ROW = 3
"""Failures of one host without a success between them."""
WITHOUT_SUCCESS = 5
"""Failures of a study, on whatever hosts, in which nothing ended well."""

_COUNTED = (ends.FAILED, ends.MISTAKE, ends.KILLED, ends.LOST)
"""A run that diverged says nothing of its host, nor one that was told to go."""


class Breaker:
    """Counts how attempts end."""

    def __init__(self) -> None:
        self._row: dict[str, int] = defaultdict(int)
        self._failures = 0
        self._success = False
        self.lines: dict[str, str] = {}

    def saw(self, host: str, kind: str, line: str = "") -> bool:
        """Note an end; returns whether this one closed the host."""
        if kind in (ends.DONE, ends.PUSH):
            self._row[host], self._success = 0, True
        elif kind in _COUNTED:
            self._row[host] += 1
            self._failures += 1
            self.lines[host] = line
            return self._row[host] == IN_A_ROW
        return False

    @property
    def closed(self) -> list[str]:
        """Hosts that get no more runs."""
        return sorted(host for host, row in self._row.items() if row >= IN_A_ROW)

    @property
    def stops(self) -> bool:
        """Whether so much failed, and nothing else, that the rest would too."""
        return not self._success and self._failures >= WITHOUT_SUCCESS
