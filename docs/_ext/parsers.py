"""The flags of each command, from the parser that reads them."""

from __future__ import annotations

import argparse
import contextlib
from unittest.mock import patch

from logitmix_hf.cli import main
from logitmix_hf.commands.study import PARTS


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that ``logitmix COMMAND --help`` prints."""
    if command == "study":  # its parts have a parser each
        return argparse.ArgumentParser(conflict_handler="resolve", parents=[_caught(command, part) for part in PARTS])
    return _caught(command)


def _caught(*words: str) -> argparse.ArgumentParser:
    caught: list[argparse.ArgumentParser] = []
    catch = patch.object(argparse.ArgumentParser, "print_help", lambda self, file=None: caught.append(self))
    with catch, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return caught[0]


def flags_of(command: str) -> set[str]:
    """Every flag of ``logitmix COMMAND``, with its aliases."""
    return set(parser_of(command)._option_string_actions)
