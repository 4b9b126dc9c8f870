"""Values as JSON can hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

from logitmix_hf.redact import is_secret_key, scrub


def to_json(values: Mapping[str, Any]) -> str:
    """A JSON object as text; see ``plain`` for what becomes of the values."""
    return json.dumps(plain(values), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: finite floats or null, numpy scalars and arrays as Python's, paths and enums as
    text; entries whose key holds a secret are left out, tokens inside text hidden."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if not is_secret_key(str(key))}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    to_list = getattr(value, "tolist", None)  # numpy and torch, scalars and arrays, without importing either
    if callable(to_list):
        return plain(to_list())
    return scrub(str(value))
