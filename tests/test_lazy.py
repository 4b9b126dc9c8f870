"""Names that a package gives on first use: the same for Python, for `dir` and for type checkers."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

from logitmix_hf.lazy import lazy_names

ROOT = Path(__file__).parents[1]
LAZY = sorted(path for path in (ROOT / "logitmix_hf").rglob("__init__.py") if "lazy_names(" in path.read_text())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose part says when it is imported."""
    folder = tmp_path / "lazily"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from logitmix_hf.lazy import lazy_names\nown = 1\n"
        "__getattr__, __dir__ = lazy_names(__name__, {'part': ['one', 'two'], 'gone': ['three']})\n"
    )
    (folder / "part.py").write_text("one, two, hidden = 1, 2, 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "lazily"
    for name in [name for name in sys.modules if name.split(".")[0] == "lazily"]:
        del sys.modules[name]


def test_a_name_is_imported_when_it_is_asked_for(package: str) -> None:
    module = importlib.import_module(package)
    assert {"own", "one", "two", "three"} <= set(dir(module))
    assert "lazily.part" not in sys.modules
    assert (module.one, module.two) == (1, 2)
    assert "lazily.part" in sys.modules
    with pytest.raises(AttributeError, match="module 'lazily' has no attribute 'hidden'"):
        _ = module.hidden
    with pytest.raises(ModuleNotFoundError, match=r"lazily\.gone"):  # a part that fails says why
        _ = module.three


def test_every_package_gives_what_it_shows_to_type_checkers() -> None:
    assert ROOT / "logitmix_hf/__init__.py" in LAZY
    for path in LAZY:
        name = ".".join(path.parent.relative_to(ROOT).parts)
        (block,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
        assert ast.unparse(block.test) == "TYPE_CHECKING"
        shown = {
            alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        (call,) = [node for node in ast.walk(block) if isinstance(node, ast.Call)]
        homes = ast.literal_eval(call.args[1])
        assert {each: f"{name}.{home}" for home, names in homes.items() for each in names} == shown, name
        module = importlib.import_module(name)
        assert set(shown) <= set(module.__all__) <= set(dir(module))
        assert all(hasattr(module, each) for each in module.__all__)
        assert all(getattr(module, each) is getattr(sys.modules[home], each) for each, home in shown.items())


def test_the_helper_answers_for_no_other_name() -> None:
    get, names = lazy_names(__name__, {"nowhere": ["x"]})
    assert "x" in names()
    with pytest.raises(AttributeError):
        get("__path__")
