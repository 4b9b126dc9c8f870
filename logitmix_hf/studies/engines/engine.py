"""What a driver asks of an engine."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from logitmix_hf.studies.manifest import Cell
from logitmix_hf.studies.outcome import Ending


class Engine(Protocol):
    """Starts runs and tells how they end. An engine retries nothing and judges nothing."""

    stays: bool
    """Whether what was started goes on without the driver."""

    def free(self) -> int:
        """How many more runs may be started now."""
        ...

    def start(self, cell: Cell, closed: Collection[str] = ()) -> None:
        """Start an attempt, on no host that is ``closed``."""
        ...

    def ended(self) -> list[tuple[Cell, Ending]]:
        """What ended since the last call; waits a moment where nothing did."""
        ...

    def open(self, closed: Collection[str]) -> bool:
        """Whether any host is left that is not ``closed``."""
        ...

    def stop(self) -> None:
        """Tell every run to save a checkpoint and end; its end comes by ``ended``."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...
