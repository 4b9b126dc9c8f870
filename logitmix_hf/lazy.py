"""Public names of a package that are imported on first use: the flags of a command must not wait for torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    They stand in the else of ``if TYPE_CHECKING``, whose body imports the same names, so that type checkers know them all
    and no others.

    Args:
        package: its ``__name__``.
        homes: by module, relative to the package (``text.forward``), the names that it gives.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    return get, lambda: sorted({*vars(sys.modules[package]), *home_of})
