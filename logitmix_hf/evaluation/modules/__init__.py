"""The same numbers as modules for ``evaluate.load(module_path(name))``: thin doors to the functions of this package."""

from __future__ import annotations

from pathlib import Path

from logitmix_hf.errors import pick


def module_path(name: str) -> str:
    """The folder to give to ``evaluate.load``: ``"glue_scores"`` or ``"calibration"``. Needs no network.

    Raises:
        UserError: naming the modules that exist.
    """
    here = Path(__file__).parent
    return str(pick({file.stem: file.parent for file in here.glob("*/*.py")}, name, "evaluate module"))
