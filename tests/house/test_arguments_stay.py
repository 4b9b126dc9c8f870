"""Arguments of a training are values: one place makes others of them, and that one copies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "logitmix_hf"
HOME = "trainer/resolved.py"
NAMES = ("args", "training", "asked")  # what arguments are called in this package


def is_arguments(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id in NAMES) or (isinstance(node, ast.Attribute) and node.attr in NAMES)


def targets(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement assigns to, tuples taken apart; of ``setattr`` and ``vars(…).update`` the object."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.NamedExpr):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (one for one in ast.walk(target) if isinstance(one, ast.Attribute))
    if isinstance(node, ast.Delete):
        yield from (one for one in node.targets if isinstance(one, ast.Attribute))


def assigned(tree: ast.AST) -> Iterator[int]:
    """Lines that set an attribute of arguments."""
    for node in ast.walk(tree):
        if any(isinstance(one, ast.Attribute) and is_arguments(one.value) for one in targets(node)):
            yield node.lineno  # type: ignore[attr-defined]
        setter = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "vars")
        if setter and node.args and is_arguments(node.args[0]):
            yield node.lineno


def test_nothing_sets_an_argument() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).as_posix() != HOME
        for line in assigned(ast.parse(path.read_text()))
    }
    assert not found, f"make a copy by {HOME}: {', '.join(sorted(found))}"
    assert (PACKAGE / HOME).is_file()


def test_what_would_be_found() -> None:
    seen = "training.x = 1\nself.args.y: int = 2\na, job.training.z = 3, 4\nsetattr(args, 'q', 5)\ndel self.args.r"
    assert sorted(assigned(ast.parse(seen))) == [1, 2, 3, 4, 5]
    assert list(assigned(ast.parse("self.args = made\ntraining = made\nmade.x = 1\nself.training.run()"))) == []
