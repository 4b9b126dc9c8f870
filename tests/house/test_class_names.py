"""One name, one thing: no two classes of the package are called alike."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "logitmix_hf"


def defined(text: str) -> list[str]:
    """The names of all classes that a module defines, wherever it does."""
    return [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]


def test_no_class_name_is_defined_twice() -> None:
    homes = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in defined(path.read_text()):
            homes[name].append(str(path.relative_to(PACKAGE)))
    assert len(homes["MixTrainer"]) == 1
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_classes_are_seen_wherever_they_are_defined() -> None:
    text = "class A: pass\nif 1:\n  class B(A):\n    class C: pass\ndef f():\n  class A: pass"
    assert sorted(defined(text)) == ["A", "A", "B", "C"]
