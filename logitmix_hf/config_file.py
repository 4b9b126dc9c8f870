"""``--config run.yaml``: the flags of a command in a file, which those of the command line override."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, one_line

FLAG = "--config"


def with_config(argv: Sequence[str]) -> list[str]:
    """``argv`` with the flags of its ``--config`` put before the user's own.

    Values are the words that stand in the file (``no`` is the word no, ``1e-5`` what the flag makes of it); a list is
    several words, a mapping JSON.

    Raises:
        UserError: for a file that cannot be read, is no mapping of flags, or says one flag twice.
    """
    path, given = None, list(argv)
    for index, word in enumerate(given):
        if word == FLAG and index + 1 < len(given):
            path = given[index + 1]
        elif word.startswith(f"{FLAG}="):
            path = word.partition("=")[2]
    return given if path is None else [*_words(_read(path), path), *given]


def _read(path: str) -> dict[str, Any]:
    """The file's flags: words as they are written, of a mapping what YAML makes of them."""
    import yaml

    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise UserError(f"{FLAG} {path!r} cannot be read: {one_line(problem)}.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        written, typed = yaml.load(text, Loader=yaml.BaseLoader), yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise UserError(f"{FLAG} {path!r} is no YAML: {one_line(problem)}.") from None
    if not isinstance(written, dict) or not isinstance(node, yaml.MappingNode):
        raise UserError(f"{FLAG} {path!r} must hold flags and their values, one a line, as `method: logitmix`.")
    names = [str(key.value).replace("-", "_") for key, _ in node.value]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{FLAG} {path!r} says {name} {names.count(name)} times: leave one.")
    return {str(key): typed[own] if isinstance(value, dict) else value
            for (key, value), own in zip(written.items(), typed, strict=True)}  # fmt: skip


def _words(flags: dict[str, Any], path: str) -> list[str]:
    words: list[str] = []
    for name, value in flags.items():
        name = name.lstrip("-")
        if name == FLAG[2:]:
            raise UserError(f"{FLAG} {path!r} names another {name}: put its flags here.")
        if value == "" or value == []:
            raise UserError(f"{FLAG} {path!r} gives {name} no value: leave the line out.")
        if isinstance(value, list):
            if not all(isinstance(one, str) for one in value):
                raise UserError(f"{FLAG} {path!r}: {name} must be a list of words and numbers.")
            words += [f"--{name}", *value]
        else:
            words.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return words
