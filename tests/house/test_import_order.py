"""Who may know whom: the imports of every module, read with `ast`, whether at the top or inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "logitmix_hf"

# errors <- plan <- losses, methods, text, vision <- trainer <- the stories. A module may import from its own layer and
# those before it. The longest name decides: text.run is a story, text.sites belongs to the layer of text.
LAYERS = (
    ("errors", "disk"),
    ("plan", "hooks"),
    ("losses", "methods", "data", "text", "vision"),
    ("modality", "arguments", "schedule", "passes", "terms", "checkpoints", "whole_evaluation", "trainer"),
    ("ends", "flags"),
    ("running", "calibrating"),
    (
        "calibrating.run",
        "text.load",
        "text.run",
        "text.demo",
        "text.settings",
        "pages",
        "vision.demo",
        "vision.settings",
        "vision.batches",
        "vision.load",
        "vision.run",
        "vision.training",
        "vision.preview",
        "vision.spiral",
        "serving",
        "cli",
    ),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# Three parts that know nothing of training, each with what it may know beside itself. Only the stories know them,
APART = {
    "evaluation": {"errors", "disk"},
    "reporting": {"errors", "disk", "evaluation"},
    "builtin": {"errors", "disk"},
}
# but for these meetings: training and judging in Predictions, data with the names of its metrics and with what is
# built in.
MEETINGS = {
    "text": {"evaluation.predictions"},
    "vision": {"evaluation.predictions"},
    "data": {"evaluation.predictions"},
    "trainer": {"evaluation.predictions"},
    "text.data": {"evaluation.scores"},
    "text.sources": {"builtin.tasks"},
}
# `evaluate` reads these files by path, and wants the imports of a module at its top.
EVALUATE_MODULES = "evaluation.modules."


MODULES: dict[str, ast.Module] = {}  # by dotted name within the package; the package itself is ''
FOLDERS: dict[str, str] = {}  # the package that each one's relative imports start from
for path in sorted(PACKAGE.rglob("*.py")):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    MODULES[name] = ast.parse(path.read_text())
    FOLDERS[name] = ".".join(["logitmix_hf", *parts[:-1]])
NAMES = sorted(set(MODULES) - {""})


def nodes(tree: ast.AST, *, top_only: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements; with ``top_only`` those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (top_only and runs_later(node)):
            yield from nodes(node, top_only=top_only)


def runs_later(node: ast.AST) -> bool:
    """Whether importing the module passes over ``node``."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imported(tree: ast.Module, folder: str = "", *, top_only: bool = False) -> set[str]:
    """Absolute dotted names of what is imported; of `from a import b` both a and a.b, since b may be a module.

    ``folder`` is the dotted name of the package that relative imports start from.
    """
    names = set()
    for node in nodes(tree, top_only=top_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        above = folder.split(".")[: len(folder.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def own_imports(name: str, *, top_only: bool = False) -> set[str]:
    """Which of the package's modules the module ``name`` imports, by their names within it."""
    found = imported(MODULES[name], FOLDERS[name], top_only=top_only)
    return {other.removeprefix("logitmix_hf.") for other in found if other.startswith("logitmix_hf.")} & set(NAMES)


def part(name: str) -> str:
    return name.split(".")[0]


def layer(name: str) -> int:
    """The layer of a module, by the longest name of LAYERS that it begins with."""
    pieces = name.split(".")
    for end in range(len(pieces), 0, -1):
        if (number := LAYER.get(".".join(pieces[:end]))) is not None:
            return number
    raise AssertionError(f"{name} has no place in the order of imports: give it one in LAYERS")


def may_import(name: str, other: str) -> bool:
    if part(name) in APART:
        return part(other) == part(name) or part(other) in APART[part(name)]
    if part(other) in APART:
        met = MEETINGS.get(part(name), set()) | MEETINGS.get(name, set())
        return layer(name) >= LAYER["running"] or other in met
    return layer(other) <= layer(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_knows_only_what_comes_before_it(name: str) -> None:
    wrong = {other for other in own_imports(name) if not may_import(name, other)}
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"


def test_the_order_refuses_what_it_should() -> None:
    refused = [
        ("plan", "losses"),
        ("losses", "trainer"),
        ("text.forward", "trainer"),
        ("trainer", "text.run"),
        ("evaluation.scores", "plan"),
        ("evaluation.scores", "reporting.folder"),
        ("reporting.card", "trainer"),
        ("builtin.tasks", "text.tasks"),
        ("text.sites", "evaluation.scores"),
        ("text.sites", "builtin.tasks"),
        ("trainer", "evaluation.calibration"),
        ("trainer", "evaluation"),
        ("losses", "evaluation.predictions"),
        ("text.tasks", "builtin.tasks"),
        ("text.sources", "builtin.model"),
        ("plan", "flags"),
    ]
    assert [pair for pair in refused if may_import(*pair)] == []
    assert may_import("text.run", "reporting.folder")
    assert may_import("text.sources", "builtin.tasks")
    with pytest.raises(AssertionError, match="no place"):
        may_import("newcomer", "plan")


def test_imports_are_seen_wherever_they_are() -> None:
    text = "import a\ndef f():\n  from b import c\nif TYPE_CHECKING:\n  import d\ntry:\n  import e\nfinally:\n  pass"
    assert imported(ast.parse(text)) == {"a", "b", "b.c", "d", "e"}
    assert imported(ast.parse(text), top_only=True) == {"a", "e"}
    relative = ast.parse("from . import x\nfrom .y import z\nfrom .. import w")
    assert imported(relative, "p.q") == {"p.q", "p.q.x", "p.q.y", "p.q.y.z", "p", "p.w"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    """At the top of modules; inside functions an import may close a circle."""
    graph = {name: own_imports(name, top_only=True) - {name} for name in NAMES}
    while free := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - free for name, needs in graph.items() if name not in free}
    assert not graph, f"a circle among {', '.join(sorted(graph))}"


@pytest.mark.parametrize("name", ["", *NAMES])
def test_what_may_be_absent_or_takes_long_is_imported_where_it_is_used(name: str) -> None:
    if name.startswith(EVALUATE_MODULES):
        return
    late = {"datasets", "evaluate"}
    if part(name) in APART or name == "":
        late |= {"torch", "transformers", "accelerate", "torchvision"}
    early = {part(other) for other in imported(MODULES[name], top_only=True)} & late
    assert not early, f"{name or 'logitmix_hf'} imports {', '.join(sorted(early))} at its top"


@pytest.mark.parametrize("name", [name for name in NAMES if part(name) == "reporting"])
def test_reports_are_written_without_what_trains(name: str) -> None:
    trains = {part(other) for other in imported(MODULES[name])} & {"transformers", "accelerate"}
    assert not trains, f"{name} imports {', '.join(sorted(trains))}"
