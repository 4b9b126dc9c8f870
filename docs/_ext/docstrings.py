"""Our docstrings as Sphinx reads them: written for people in plain text, mended here where reST would stumble."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import logitmix_hf

LITERAL = re.compile(r"(``.*?``|:\w+:`[^`]*`|`[^`]*`|\*\*\w[^*]*\w\*\*)")
ENTRY = re.compile(r"^(\w+(?:, \w+)*):\s+(\S.*)$")


def escaped(line: str) -> str:
    """|x| is no substitution here and ``*args`` no emphasis; what stands in backquotes stays."""
    parts = LITERAL.split(line)
    for index in range(0, len(parts), 2):
        parts[index] = parts[index].replace("|", r"\|")
        parts[index] = re.sub(r"(?<![\\*\w])(\*{1,2})(?=[a-z]\w*\b(?!\*))", lambda m: r"\*" * len(m[1]), parts[index])
    return "".join(parts)


def with_entries(lines: list[str]) -> list[str]:
    """Paragraphs of ``name:   what it is`` become definition lists."""
    made: list[str] = []
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
            continue
        heads = [text for text in paragraph if not text.startswith(" ")]
        if len(heads) > 1 and all(ENTRY.match(head) for head in heads) and paragraph[0] is heads[0]:
            for text in paragraph:
                entry = ENTRY.match(text)
                made += [f"``{entry[1]}``", f"    {entry[2]}"] if entry else [f"    {text.strip()}"]
        else:
            made += paragraph
        made.append("")
        paragraph = []
    return made


def mend(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [escaped(line) for line in with_entries(lines)]


@cache
def names_of_ours() -> set[str]:
    """Every module, class, function, attribute and value that the sources of the package define, by its last part."""
    names: set[str] = set()
    for path in Path(logitmix_hf.__file__).parent.rglob("*.py"):
        names.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def unlinked(app: Sphinx, env: Any, node: Any, text: nodes.Node) -> nodes.Node | None:
    """A name of ours that is in no page is shown as code; one that does not exist stays a warning.

    Words of types, such as ``(N,) float64``, are looked up by Sphinx too, and are no names.
    """
    if node.get("refdomain") != "py":
        return None
    if not isinstance(text, nodes.literal):
        return text
    return text if node["reftarget"].rpartition(".")[2] in names_of_ours() else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", mend, priority=100)  # before napoleon
    app.connect("missing-reference", unlinked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
