"""``--config run.yaml``: the flags of a command in a file, which those of the command line override."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, one_line
from logitmix_hf.flag_words import flag_words
from logitmix_hf.yaml_text import load_mapping

FLAG = "--config"


def with_config(argv: Sequence[str]) -> list[str]:
    """``argv`` with the flags of its ``--config`` put before the user's own. Values are read as
    :func:`logitmix_hf.yaml_text.load_mapping` does.

    Raises:
        UserError: for a file that cannot be read, is no mapping of flags, gives a flag no value, or says one twice.
    """
    path, given = None, list(argv)
    for index, word in enumerate(given):
        if word == FLAG and index + 1 < len(given):
            path = given[index + 1]
        elif word.startswith(f"{FLAG}="):
            path = word.partition("=")[2]
    if path is None:
        return given
    try:
        text = expanded(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise UserError(
            f"{FLAG} {path!r} cannot be read: {getattr(problem, 'strerror', None) or one_line(problem)}."
        ) from None
    try:
        return [*flag_words(_checked(load_mapping(text))), *given]
    except UserError as mistake:
        raise UserError(f"{FLAG} {path!r}: {mistake}") from None


def _checked(values: dict[Any, Any]) -> dict[str, Any]:
    """The flags by name, each once however it is spelt."""
    flags: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).lstrip("-").replace("-", "_")
        if name in flags:
            raise UserError(f"{name!r} is given twice.")
        if name == FLAG[2:]:
            raise UserError(f"it names another {name}: put its flags here.")
        if value is None or value == "" or value == []:
            raise UserError(f"{name} has no value: leave the line out.")
        if isinstance(value, list) and any(isinstance(one, list | dict) for one in value):
            raise UserError(f"{name} must be a list of words and numbers.")
        flags[name] = value
    return flags
