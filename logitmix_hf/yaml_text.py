"""YAML that people write flags in: a word stays a word, and nothing that stands twice is passed over."""

from __future__ import annotations

import re
from typing import Any

from logitmix_hf.errors import UserError, one_line


def load_mapping(text: str) -> dict[str, Any]:
    """The one mapping that a file holds.

    Plain scalars are read as on a command line, where YAML 1.1 knows better: true and false alone are truths (in
    ``save_strategy: no`` it is a word), and ``012``, ``12:30`` and ``1e-5`` are words, which a flag may read as numbers.

    Raises:
        UserError: it is no YAML, asks for objects of Python, gives a key twice, or holds something else; with the line.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """A key that stands twice would silently mean its last value."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":
                    continue
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, (dict, list)):
                    raise UserError(f"line {key_node.start_mark.line + 1}: a key must be a word.")
                if key in seen:
                    raise UserError(f"line {key_node.start_mark.line + 1}: {key!r} is given twice.")
                seen.add(key)
            return super().construct_mapping(node, deep)

    own = {f"tag:yaml.org,2002:{tag}" for tag in _FORMS}
    Loader.yaml_implicit_resolvers = {
        letter: [(tag, form) for tag, form in forms if tag not in own]
        for letter, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, (form, first) in _FORMS.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{form})$"), list(first))
    try:
        values = yaml.load(text, Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or one_line(problem)
        raise UserError(f"{where}this is no YAML: {one_line(ValueError(what))}.") from None
    except (ValueError, RecursionError) as problem:  # a date that is none, or one list in another without an end
        if isinstance(problem, UserError):
            raise
        raise UserError(f"this is no YAML: {one_line(problem)}.") from None
    if not isinstance(values, dict):
        kind = "nothing" if values is None else f"a {type(values).__name__}"
        raise UserError(f"`key: value` lines were expected, this file holds {kind}.")
    return values


_FORMS = {
    "bool": ("true|True|false|False", "tTfF"),
    "int": ("[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
"""Of the plain scalars that are no words, those that YAML 1.1 has more forms of: each with its first letters."""
