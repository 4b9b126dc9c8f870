"""What makes two runs the same: a digest of the arguments that move a weight or a score."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from logitmix_hf.reporting.files import plain
from logitmix_hf.reporting.record import MAY_DIFFER

LENGTH = 12


def run_id(command: str, arguments: Mapping[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the resolved arguments as canonical JSON (sorted keys, no spaces).

    Args:
        command: ``glue`` or ``vision``, part of the digest.
        arguments: all of them by flag, with defaults; those of ``MAY_DIFFER`` (folders, logging, saving …) do not count.
    """
    counted = {
        name: value
        for name, value in plain(arguments).items()
        if not any(fnmatchcase(name, pattern) for pattern in MAY_DIFFER)
    }
    return _digest([command, _one_spelling(counted)])[:LENGTH]


def words_key(command: str, words: Sequence[str]) -> str:
    """The digest of a command line as it stands: a run whose words did not change keeps the id that it was given, also where
    a newer library has arguments that the older one had not."""
    return _digest([command, list(words)])


def folder_name(task: object, method: object, seed: object, identity: str) -> str:
    """``<task>-<method>-s<seed>-<id>``, of letters that every file system takes."""
    parts = [_plain_name(part) for part in (task, method)]
    return "-".join([*parts, f"s{_plain_name(seed)}", identity])


def _plain_name(part: object) -> str:
    text = str(part).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text)[:40].lstrip(".") or "run"


def _one_spelling(value: Any) -> Any:
    """2 and 2.0 are one number, as a flag reads them or not."""
    if isinstance(value, dict):
        return {name: _one_spelling(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_one_spelling(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
