"""docs/exceptions.md against the classes that exist, what the package raises, and how a command ends."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator

import pytest
from shown import ROOT

from logitmix_hf.errors import UserError
from logitmix_hf.process import guarded

PACKAGE = ROOT / "logitmix_hf"
PAGE = (ROOT / "docs" / "exceptions.md").read_text(encoding="utf-8")
# Raised and caught within the package, or said to a protocol of Python's: nobody meets them.
INSIDE = {"AssertionError", "OSError", "OverflowError", "QueueFull", "RuntimeError", "StopIteration"}


def rows(number: int) -> list[list[str]]:
    table = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.M)[number]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def of(dotted: str) -> type[BaseException]:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module or "builtins"), name)


OURS = {row[0].strip("`"): row for row in rows(0)}


def defined() -> Iterator[type[BaseException]]:
    """Every public class of the package that can be raised."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                last = ast.unparse(node.bases[0])
                if re.search(r"(Error|Exception|Exit|Interrupt)$", last) or last in {
                    name.rpartition(".")[2] for name in OURS
                }:
                    yield of(".".join(["logitmix_hf", *path.relative_to(PACKAGE).with_suffix("").parts, node.name]))


def test_every_class_of_ours_is_on_the_page_as_what_it_is() -> None:
    classes = {of(name): row for name, row in OURS.items()}
    assert set(classes) == set(defined())
    assert len(classes) >= 8
    for kind, row in classes.items():
        assert kind.__mro__[1].__name__ == row[1].strip("`")
        assert kind.__doc__
        assert row[2]
        assert row[3]


def test_whatever_the_package_raises_is_on_the_page() -> None:
    raised = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"raise ([A-Z]\w+)", path.read_text(encoding="utf-8"))
    }
    told = {name.rpartition(".")[2] for name in OURS} | {row[0].strip("`") for row in rows(1)}
    assert raised - told - INSIDE == set()
    assert all(issubclass(of(row[0].strip("`")), BaseException) for row in rows(1))


@pytest.mark.parametrize("name", OURS)
def test_a_command_ends_as_the_page_says(name: str, capsys) -> None:
    """2 and one line for what is the user's; what ends with 1 keeps its traceback; the others say their code."""
    kind, code = of(name), OURS[name][4]

    def command() -> int:
        raise kind("the message", "logitmix push") if name.endswith("PushFailed") else kind("the message")

    if issubclass(kind, UserError):
        assert code.partition(",")[0] == "2"
        assert guarded(command) == 2
        assert capsys.readouterr().err == "error: the message\n"
    else:
        assert code in ("1", "3", "130 or 143")  # 3 and 130: tests of pushing and of interruption
        with pytest.raises(kind):
            guarded(command)
