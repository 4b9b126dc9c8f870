"""What reaches a terminal goes through `say`, which shows what a terminal would obey."""

from __future__ import annotations

import ast

import pytest
from test_import_order import MODULES

from logitmix_hf.errors import say

OWN_WORDS = {"errors", "cli", "methods", "commands.spiral_figure"}
"""`say` itself, and what prints words of ours alone."""


@pytest.mark.parametrize("name", sorted(set(MODULES) - OWN_WORDS))
def test_nothing_else_prints(name):
    calls = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call)]
    assert [node.lineno for node in calls if ast.unparse(node.func) == "print"] == []
    raw = [node for node in calls if ast.unparse(node.func) in ("sys.stderr.write", "sys.stdout.write", "bar.write")]
    assert all("printable(" in ast.unparse(node.args[0]) for node in raw)


def test_what_a_terminal_obeys_is_shown(capsys):
    say("a\x1b[31mb\nc", "\u202egnp.exe", "über 你好 é", "tab\there", "\x9b2J", "\ud800")
    lines = capsys.readouterr().err.split("\n")
    assert lines == ["a\\x1b[31mb\\nc", "\\u202egnp.exe", "über 你好 é", "tab\\there", "\\x9b2J", "\\ud800", ""]


def test_no_token_is_said(capsys):
    say("pushing with hf_" + "a" * 34, out=True)
    assert "aaaa" not in capsys.readouterr().out
