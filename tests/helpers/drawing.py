"""What a run draws takes more than half of its time on tiny models: a stand-in is left in its place unless a test looks."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CALLED = (
    "logitmix_hf.reporting.results.confusion_plot",
    "logitmix_hf.reporting.results.reliability_plot",
    "logitmix_hf.training.calibration.compare_reliability",
    "logitmix_hf.training.judge.training_plot",
    "logitmix_hf.training.vision.job.draw_preview",
)
"""Where a run calls what draws. The functions themselves stay as they are: tests of their own look at them."""
_patch = pytest.MonkeyPatch()


def _stand_in(*args: Any, **_: Any) -> bool:
    next(word for word in args if isinstance(word, Path)).write_bytes(b"picture")
    return True


def draw_nothing() -> None:
    for name in CALLED:
        _patch.setattr(name, _stand_in)


@contextmanager
def drawn() -> Iterator[None]:
    """Within: a run draws its pictures."""
    _patch.undo()
    try:
        yield
    finally:
        draw_nothing()


@pytest.fixture(scope="session", autouse=True)
def quick_runs() -> None:
    """No pictures, and what was imported is no garbage: each training looks through all objects for some, which takes a third
    of a second. Where nothing has imported torch yet, nothing is trained, and a second is not spent on importing it."""
    if "torch" in sys.modules:
        gc.freeze()
        draw_nothing()
