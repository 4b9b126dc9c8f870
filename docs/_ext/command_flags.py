"""Directives for what the package says of itself: flags of the commands, fields, public names."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import sys

from docutils import nodes
from parsers import parser_of
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from logitmix_hf.cli import COMMANDS


def own_actions(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """The flags by group, without ``--help`` and without those of ``TrainingArguments``."""
    from transformers import TrainingArguments

    theirs = {field.name for field in dataclasses.fields(TrainingArguments)} if takes_training_arguments(parser) else ()
    groups: dict[str, list[argparse.Action]] = {}
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.dest != "help" and a.dest not in theirs]
        # HfArgumentParser gives a switch that is on a twin: --no_NAME.
        actions = [a for a in actions if not any(word.startswith("--no_") for word in a.option_strings)]
        if actions:
            groups[group.title or ""] = actions
    return groups


def takes_training_arguments(parser: argparse.ArgumentParser) -> bool:
    """Whether the flags of ``transformers.TrainingArguments`` pass through."""
    return any(action.dest == "gradient_accumulation_steps" for action in parser._actions)


def with_code(text: str) -> list[nodes.Node]:
    """Text nodes, and literals where the text has backquotes."""
    parts = re.split(r"`+([^`]+)`+", text)
    return [nodes.literal(text=part) if index % 2 else nodes.Text(part) for index, part in enumerate(parts) if part]


def shown(action: argparse.Action) -> str:
    """``--alpha``, or ``file`` for a word without a flag."""
    words = [word for word in action.option_strings if "-" not in word[2:]] or action.option_strings[:1]
    return ", ".join(words) or str(action.metavar or action.dest)


def entry(name: str, default: object, text: str, anchor: str) -> nodes.definition_list_item:
    """One flag or field: its name and default on a line, what it is below."""
    term = nodes.term("", "", nodes.literal(text=name), ids=[anchor])
    if default not in (None, argparse.SUPPRESS, "", []):
        shown = str(default).lower() if isinstance(default, bool) and name.startswith("-") else str(default)
        term += nodes.inline("", f" default {shown}", classes=["default"])
    return nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", "", *with_code(text))))


def about(action: argparse.Action) -> str:
    """Help and choices."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    choices = [str(choice) for choice in action.choices or () if choice is not None]
    if choices and not all(choice in text for choice in choices):
        text += f" ({', '.join(choices)})"
    return text


class AllFlags(SphinxDirective):
    """``{all-flags}``: a section a command, a definition list a group; nothing is copied by hand, so nothing grows stale."""

    def run(self) -> list[nodes.Node]:
        return [self.section(command) for command in COMMANDS]

    def section(self, command: str) -> nodes.section:
        parser = parser_of(command)
        made = nodes.section(ids=[f"logitmix-{command}"])
        made += nodes.title("", "", nodes.literal(text=f"logitmix {command}"))
        said = f"{COMMANDS[command][1]}."
        made += nodes.paragraph(text=f"{said[:1].upper()}{said[1:]}")
        for title, actions in own_actions(parser).items():
            made += nodes.rubric("", "", *with_code(title))
            listed = nodes.definition_list(classes=["flags"])
            for action in actions:
                anchor = f"{command}-{action.dest.replace('_', '-')}"
                listed += entry(shown(action), action.default, about(action), anchor)
            made += listed
        if takes_training_arguments(parser):
            text = "Every flag of `transformers.TrainingArguments` passes through, such as `--learning_rate`,"
            text += f" `--num_train_epochs`, `--bf16`; `logitmix {command} --help` lists them with their defaults."
            made += [nodes.rubric(text="training"), nodes.paragraph("", "", *with_code(text))]
        return made


class MixArgumentsFields(SphinxDirective):
    """``.. mix-arguments::``: the fields of ``MixArguments`` with their defaults and their help."""

    def run(self) -> list[nodes.Node]:
        from logitmix_hf.arguments import MixArguments

        listed = nodes.definition_list(classes=["flags"])
        for field in dataclasses.fields(MixArguments):
            said = field.metadata["help"]
            text = said if isinstance(said, str) else "; for images: ".join(said.values())
            if only := field.metadata.get("only"):
                text += f" (for {'images' if only == 'image' else only} only)"
            listed += entry(field.name, field.default, text, f"mix-{field.name.replace('_', '-')}")
        return [listed]


def said_of(name: str, value: object) -> str:
    """The string that follows a value's assignment, wherever in the package that stands."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith("logitmix_hf.") and vars(module).get(name) is value:
            said = ModuleAnalyzer.for_module(module.__name__).find_attr_docs().get(("", name))
            if said:
                return " ".join(" ".join(said).split())
    return ""


class PublicNames(SphinxDirective):
    """``.. public-names:: MODULE``: an entry of the reference for each name in its ``__all__``, by kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        kinds: dict[str, list[str]] = {"Values": [], "Classes": [], "Functions": []}
        for name in module.__all__:
            value = getattr(module, name)
            kinds["Classes" if inspect.isclass(value) else "Functions" if callable(value) else "Values"].append(name)
        lines: list[str] = []
        for title, directive in (("Classes", "autoclass"), ("Functions", "autofunction"), ("Values", "py:data")):
            lines += [f".. rubric:: {title}", ""]
            for name in sorted(kinds[title], key=str.lower):
                lines += [f".. {directive}:: {name if title == 'Values' else f'{module.__name__}.{name}'}"]
                if title == "Values":
                    value = getattr(module, name)
                    lines += [f"   :value: {value!r}"] if isinstance(value, str) else []
                    lines += ["", f"   {said_of(name, value)}"]
                lines += [""]
        return self.parse_text_to_nodes("\n".join(lines))


def keep_whole(app: Sphinx, doctree: nodes.document) -> None:
    """Short code in a line of text is not broken: a flag has two places to break at, and both are ugly."""
    for node in doctree.findall(nodes.literal):
        if len(node.astext()) <= 28:
            node["classes"].append("whole")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", keep_whole)
    app.add_directive("all-flags", AllFlags)
    app.add_directive("mix-arguments", MixArgumentsFields)
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
