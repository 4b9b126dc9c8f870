"""Who may know whom: the floors of the house, held against the imports of every module, read with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from logitmix_hf.cli import COMMANDS
from logitmix_hf.commands.study import PARTS

PACKAGE = Path(__file__).parents[2] / "logitmix_hf"

# From the ground up. A folder (or a file that stands alone) knows what lies below it; two on one floor know nothing of
# each other.
FLOORS = (
    ("redact", "version"),
    ("errors",),
    ("disk", "lock", "process", "tables", "lazy", "precision", "flag_words", "yaml_text"),
    ("config_file",),
    ("plan", "targets", "methods", "flags", "class_weights", "evaluation", "builtin"),
    ("losses", "data", "models"),
    ("text", "vision"),
    ("ensembles",),
    ("modality",),
    ("arguments",),
    ("steps",),
    ("trainer",),
    ("reporting",),
    ("training", "serving"),
    ("studies",),
    ("commands",),
    ("cli", "estimators"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# Modules that are named in a table and imported when they are asked for: the door, with what stands behind it.
TABLES = {"cli": {f"commands.{name.replace('-', '_')}" for name in COMMANDS}}
TABLES["commands.study"] = {f"commands.study_{part}" for part in PARTS}
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
    own = {other.removeprefix("logitmix_hf.") for other in found if other.startswith("logitmix_hf.")} & set(NAMES)
    return own if top_only else own | TABLES.get(name, set())


def room(name: str) -> str:
    return name.split(".")[0]


def runs_up(name: str, other: str) -> bool:
    """Whether an import of ``other`` by ``name`` leaves its folder for anything but a floor below."""
    return room(name) != room(other) and FLOOR[room(other)] >= FLOOR[room(name)]


def test_no_import_runs_up() -> None:
    assert set(map(room, NAMES)) == set(FLOOR), "every folder has a floor, and every floor a folder"
    wrong = {f"{name} -> {other}" for name in NAMES for other in own_imports(name) if runs_up(name, other)}
    assert not wrong, "\n".join(sorted(wrong))
    face = {name for name in NAMES if "logitmix_hf" in imported(MODULES[name])}
    assert not face, "the public names stand above all floors"
    up = [
        ("plan", "losses"),
        ("text.forward", "steps"),
        ("training.run", "serving.predict"),
        ("text.data", "vision.data"),
    ]
    assert [pair for pair in up if not runs_up(*pair)] == [], "the test refuses what it should"
    assert not runs_up("training.run", "reporting.folder")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left where nothing more can be imported before the others; empty where there is no circle."""
    while free := {name for name, needs in graph.items() if not needs & set(graph)}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    return sorted(graph)


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not even inside functions or for types: where two need each other, what both need is a third."""
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert not circle({name: own_imports(name, top_only=True) - {name} for name in NAMES})
    faces = {name for name in NAMES if f"{name}." in {other[: len(name) + 1] for other in NAMES}}  # they hand names on
    assert not circle({name: own_imports(name) - faces for name in NAMES if name not in faces})


def test_imports_are_seen_wherever_they_are() -> None:
    text = "import a\ndef f():\n  from b import c\nif TYPE_CHECKING:\n  import d\ntry:\n  import e\nfinally:\n  pass"
    assert imported(ast.parse(text)) == {"a", "b", "b.c", "d", "e"}
    assert imported(ast.parse(text), top_only=True) == {"a", "e"}
    relative = ast.parse("from . import x\nfrom .y import z\nfrom .. import w")
    assert imported(relative, "p.q") == {"p.q", "p.q.x", "p.q.y", "p.q.y.z", "p", "p.w"}


def test_nothing_is_imported_past_the_reader_of_this_test() -> None:
    """``import_module`` hides an arrow: only the tables of commands and the public names of a package use it."""
    named = {name for name, tree in MODULES.items() if {"import_module", "__import__"} & called(tree)}
    assert named == {*TABLES, "lazy"}


def called(tree: ast.Module) -> set[str]:
    """The last names of all that is called."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def test_what_may_be_absent_or_takes_long_is_imported_where_it_is_used() -> None:
    light = {"evaluation", "reporting", "builtin", ""}  # judged and reported without what trains
    heavy = {"torch", "transformers", "accelerate", "torchvision"}
    for name in ["", *NAMES]:
        if not name.startswith(EVALUATE_MODULES):
            late = {"datasets", "evaluate"} | (heavy if room(name) in light else set())
            early = {room(other) for other in imported(MODULES[name], top_only=True)} & late
            assert not early, f"{name or 'logitmix_hf'} imports {', '.join(sorted(early))} at its top"


def test_reports_are_written_without_what_trains() -> None:
    for name in NAMES:
        if room(name) == "reporting":
            trains = {room(other) for other in imported(MODULES[name])} & {"transformers", "accelerate"}
            assert not trains, f"{name} imports {', '.join(sorted(trains))}"


def test_runs_are_compared_without_what_draws() -> None:
    for name in NAMES:
        if name.startswith("reporting.comparison"):
            drawn = {
                other for other in imported(MODULES[name]) if {"pages", "plotly", "matplotlib"} & set(other.split("."))
            }
            assert not drawn, f"{name} imports {', '.join(sorted(drawn))}"
