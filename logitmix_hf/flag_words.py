"""Flags and their values as the words of a command line: of a recipe, a study, a file of flags, or keywords of Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


def flag_words(flags: Mapping[str, Any]) -> list[str]:
    """``{"a": [1, 2], "b": True}`` as ``["--a", "1", "2", "--b", "true"]``. None is a flag that is left out; a list, tuple
    or array is several words, a mapping JSON. A value that looks like a flag itself is joined to its own by ``=``."""
    words: list[str] = []
    for name, value in flags.items():
        if value is None:
            continue
        said = texts(value)
        if len(said) == 1 and said[0].startswith("-"):
            words.append(f"--{name}={said[0]}")
        else:
            words += [f"--{name}", *said]
    return words


def texts(value: Any) -> list[str]:
    """A value as the words that say it."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy and torch
    several = value if isinstance(value, list | tuple) else [value]
    return [_text(one) for one in several]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(getattr(value, "value", value))  # an enumeration of transformers is its word
