"""From a command line to dataclasses, with mistakes that end in one line.

Every flag is a field of a dataclass; argparse reads them, and transformers' own parser those of ``TrainingArguments``. A
recipe is a file of flags that stands before those of the command line. Nothing here imports torch or transformers.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from logitmix_hf.config_file import with_config
from logitmix_hf.errors import UserError, nearest, pick, say
from logitmix_hf.flag_words import flag_words
from logitmix_hf.process import is_main_process

OF_METHOD = ("alpha", "atom", "w_mix", "w_cls", "w_sim", "w_agree", "cls_sum")
"""Flags of a recipe that were tuned for its method, and are no other's."""

# What version 4 of transformers called things, and what to write now.
RENAMED = {
    "warmup_ratio": "--warmup_steps takes a share too (0.1)",
    "evaluation_strategy": "it is --eval_strategy now",
    "no_cuda": "it is --use_cpu now",
    "group_by_length": "it is --train_sampling_strategy group_by_length now",
    "overwrite_output_dir": "it is --overwrite here",
    "resume_from_checkpoint": "it is --resume here, from the last checkpoint of the output folder",
    "logging_dir": "trackers take their folder from their own settings now",
    "save_safetensors": "weights are always saved as safetensors",
    "fp16_backend": "use --fp16 or --bf16 alone",
    "push_to_hub_model_id": "it is --hub_model_id now",
    "push_to_hub_token": "it is --hub_token now",
}


COMMANDS = {"text": "glue", "image": "vision"}
"""The command of each modality, as recipes name it."""


def flag(group: str, default: Any, help: str | dict[str, str], *aliases: str) -> Any:
    """A dataclass field that is a flag of this group, also under its aliases; ``help`` may be one for each modality."""
    return dataclasses.field(default=default, metadata={"help": help, "group": group, "aliases": list(aliases)})


def option(default: Any, help: str) -> Any:
    """A flag of no group."""
    return dataclasses.field(default=default, metadata={"help": help})


def repeated(group: str | None, help: str | dict[str, str]) -> Any:
    """A flag that takes several words, and may be given several times: all of them count."""
    return dataclasses.field(default=None, metadata={"help": help, "group": group, "aliases": [], "action": "extend"})


def word(name: str, help: str, needs: str = "", example: str = "") -> Any:
    """A dataclass field that is no flag: the word of the command line that the usage calls by this name; None without, where
    nothing is said to be needed."""
    return dataclasses.field(default=None, metadata={"help": help, "word": name, "needs": (needs, example)})


def words(name: str, help: str) -> Any:
    """As :func:`word`, for any number of them, among the flags or before them."""
    return dataclasses.field(default_factory=list, metadata={"help": help, "word": name})


class FlagParser(argparse.ArgumentParser):
    """Reads the fields of dataclasses, grouped by their ``group``, and raises :class:`UserError` on a mistake.

    Args:
        kinds: dataclasses. Fields may be str, int, float, bool, ``Literal`` words, a list, or one of them or None; those
            of a class of transformers are read as ``HfArgumentParser`` reads them.
        modality: a field whose ``only`` is another one is no flag here; of a ``help`` for several it takes its own.
        without: names of fields that are no flags here, and keep their defaults.
        options: of ``ArgumentParser``: ``prog``, ``description`` …
    """

    def __init__(
        self, kinds: Sequence[Any], modality: str = "text", *, without: Collection[str] = (), **options: Any
    ) -> None:
        self.kinds, self.modality = list(kinds), modality
        parents = [_parser_of(kind, modality, without) for kind in kinds]
        super().__init__(allow_abbrev=False, formatter_class=_Help, parents=parents, **options)

    def error(self, message: str) -> Any:
        """Argparse's own complaints, without its usage block."""
        raise UserError(f"{message.rstrip('.')}. See `{self.prog} --help`.")

    def parse(self, argv: Sequence[str]) -> list[Any]:
        """One instance of each dataclass, in their order.

        Raises:
            UserError: for an unknown flag (with the nearest one), a word without a flag, a value that does not fit, or
                a recipe of the other modality.
        """
        check_recipe(argv, self.modality)
        fields = [field for kind in self.kinds for field in dataclasses.fields(kind) if field.init]
        mixed = any("word" in field.metadata for field in fields)  # words stand where they like among the flags
        namespace, rest = (self.parse_known_intermixed_args if mixed else self.parse_known_args)(list(argv))
        for word in rest:
            if not word.startswith("--"):
                raise UserError(f"{word!r} belongs to no flag: every value needs its flag. See `{self.prog} --help`.")
            name = word.split("=")[0][2:].replace("-", "_")
            if name in RENAMED:
                raise UserError(f"There is no flag --{name}: {RENAMED[name]}.")
            known = {
                f"--{field.name}" for field in fields if hasattr(namespace, field.name) and "word" not in field.metadata
            }
            known |= {alias for field in fields for alias in field.metadata.get("aliases", ())}
            raise UserError(f"There is no flag --{name}.{nearest(f'--{name}', known)} See `{self.prog} --help`.")
        given = vars(namespace)
        self._check_not_blank(given)
        for field in fields:
            needs, example = field.metadata.get("needs", ("", ""))
            if needs and given[field.name] is None:
                raise UserError(f"{self.prog} needs {needs}: {self.prog} {example}.")
        made = []
        for kind in self.kinds:
            names = [field.name for field in dataclasses.fields(kind) if field.init and field.name in given]
            try:
                made.append(kind(**{name: given[name] for name in names}))
            except UserError:
                raise
            except (ValueError, TypeError, ImportError, OSError) as problem:
                raise UserError(" ".join(str(problem).split())) from problem
        return made

    def _check_not_blank(self, given: dict[str, Any]) -> None:
        """Require every text to say something: an empty path would be the folder that one stands in."""
        for action in self._actions:
            value = given.get(action.dest)
            texts = value if isinstance(value, list) else [value]
            blank = [text for text in texts if isinstance(text, str) and not text.strip()]
            if blank and value not in (action.default, action.const):
                name = f"--{action.dest}" if action.option_strings else str(action.metavar)
                raise UserError(f"{name} is empty (a variable that is not set?): give it a value, or leave it out.")


def _parser_of(kind: Any, modality: str, without: Collection[str]) -> argparse.ArgumentParser:
    """The flags of one dataclass, to be taken over by another parser."""
    if any(base.__module__.startswith("transformers.") for base in kind.__mro__):
        from transformers import HfArgumentParser

        return HfArgumentParser(kind, add_help=False)
    parser, groups = argparse.ArgumentParser(add_help=False), {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in without or not field.init or field.metadata.get("only") not in (None, modality):
            continue
        group = field.metadata.get("group")
        if group is not None and group not in groups:
            groups[group] = parser.add_argument_group(group)
        _add(groups.get(group, parser), field, hints[field.name], modality)
    return parser


def _add(parser: Any, field: dataclasses.Field[Any], hint: Any, modality: str) -> None:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    help = field.metadata["help"]
    options = {"help": help if isinstance(help, str) else help[modality], "default": default}
    if (name := field.metadata.get("word")) is not None:
        parser.add_argument(field.name, metavar=name, nargs="*" if isinstance(default, list) else "?", **options)
        return
    spellings = dict.fromkeys(
        (f"--{field.name}", f"--{field.name.replace('_', '-')}", *field.metadata.get("aliases", ()))
    )
    if (action := field.metadata.get("action")) is not None:
        options["action"] = action
    parser.add_argument(*spellings, **options, **_reading(hint))
    if default is True:
        off = dict.fromkeys((f"--no_{field.name}", f"--no-{field.name.replace('_', '-')}"))
        parser.add_argument(*off, dest=field.name, action="store_false", help=options["help"], default=True)


def _reading(hint: Any) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    several = [kind for kind in get_args(hint) if kind is not NoneType]
    if NoneType in get_args(hint):
        hint = several[0]  # what words are read as; None is what no word means
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is list:
        return {"type": get_args(hint)[0], "nargs": "+"}
    if hint is bool:
        return {"type": _truth, "nargs": "?", "const": True}
    return {"type": _whole if hint is int else hint}


LARGEST = 2**32 - 1
"""Of all whole numbers that a flag takes; NumPy's generators take no larger seed, and nothing has more rows."""


def _whole(text: str) -> int:
    """A whole number that every library can count to."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number was expected, got {text!r}") from None
    if abs(number) > LARGEST:
        raise argparse.ArgumentTypeError(f"at most {LARGEST} was expected, got {text}")
    return number


def _truth(text: str) -> bool:
    """A yes or no, in the words that ``HfArgumentParser`` knows."""
    truth = {
        **dict.fromkeys(("yes", "true", "t", "y", "1"), True),
        **dict.fromkeys(("no", "false", "f", "n", "0"), False),
    }
    if text.lower() not in truth:
        raise argparse.ArgumentTypeError(f"true or false was expected, got {text!r}")
    return truth[text.lower()]


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults where there is something to tell, and every flag in the one spelling of the docs (``_``, not ``-``); wide
    enough for the names of the training flags."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=110)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        words = [action for action in actions if not action.option_strings]
        names = [f"{one.metavar} [{one.metavar} ...]" if one.nargs == "*" else str(one.metavar) for one in words]
        super().add_usage(
            " ".join([self._prog, *names, "[flags]"]) if usage is None else usage, actions, groups, prefix
        )

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, "", []) else super()._get_help_string(action)

    def add_text(self, text: str | None) -> None:
        super().add_text(text if text is None else text.replace("``", "`"))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        words = [word for word in action.option_strings if "-" not in word.lstrip("-")] or list(action.option_strings)
        if not words or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(words)} {value}"  # argparse would say the value once for each spelling


def recipes_folder() -> Path:
    """Where the recipes lie: within an installed package, beside it in a checkout."""
    inside = Path(__file__).parent / "recipes"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "recipes"


def with_recipe(argv: Sequence[str]) -> list[str]:
    """``argv`` with the flags of its ``--recipe`` put first, then those of its ``--config``, then the user's own: the later
    ones override. Beside another method than the recipe's its alpha and weights are left out, which a line says: they were
    tuned for its own method, and would weaken the other one.

    Raises:
        UserError: for a recipe that does not exist or is no JSON object of flags, and as
            :func:`logitmix_hf.config_file.with_config`.
    """
    words = with_config(argv)
    name = recipe_named(words)
    if name is None:
        return words
    values, method = read_recipe(name), _last_value(words, "method")
    left_out = (
        [flag for flag in OF_METHOD if flag in values] if method and values.get("method", method) != method else []
    )
    if left_out and is_main_process():
        told = ", ".join(f"{flag} {values[flag]}" for flag in left_out)
        say(
            f"recipe {name}: {told} of its method {values['method']} left out, {method} takes its own; a flag sets another."
        )
    return [*recipe_flags(name, left_out), *words]


def recipe_named(argv: Sequence[str]) -> str | None:
    """What follows the last ``--recipe``."""
    return _last_value(argv, "recipe")


def _last_value(argv: Sequence[str], flag: str) -> str | None:
    value = None
    for index, word in enumerate(argv):
        if word == f"--{flag}" and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"--{flag}="):
            value = word.partition("=")[2]
    return value


def check_recipe(argv: Sequence[str], modality: str) -> None:
    """Require the recipe in ``argv`` to be for this modality; one that does not say is for both.

    Raises:
        UserError: naming the command it is for, and the recipes of this one.
    """
    name = recipe_named(argv)
    if name is None:
        return
    own, meant = COMMANDS[modality], read_recipe(name).get("_command")
    if meant is None or meant == own:
        return
    if meant not in COMMANDS.values():
        raise UserError(
            f"The recipe {name!r} is for the command {meant!r}; there are {' and '.join(COMMANDS.values())}."
        )
    fit = [path.stem for path in _recipes() if read_recipe(path.stem).get("_command") == own]
    raise UserError(f"The recipe {name!r} is for `logitmix {meant}`; for `logitmix {own}` there are: {', '.join(fit)}.")


def _recipes() -> list[Path]:
    return sorted(recipes_folder().glob("*.json"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe's flags by name, beside ``_source`` (where its numbers come from) and ``_command`` (glue or vision).

    Args:
        name: in ``recipes/``, or the path of a JSON file.
    """
    path = Path(name) if name.endswith(".json") else pick({path.stem: path for path in _recipes()}, name, "recipe")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"The recipe {str(path)!r} cannot be read as JSON: {problem}.") from None
    if not isinstance(values, dict):
        raise UserError(f"The recipe {str(path)!r} must be one JSON object of flags, not a {type(values).__name__}.")
    for flag, value in values.items():
        if not flag.startswith("_") and (isinstance(value, dict) or value is None):
            raise UserError(
                f"The recipe {str(path)!r} gives {flag!r} the value {value!r}; flags take words and numbers."
            )
    return values


def recipe_flags(name: str, left_out: Collection[str] = ()) -> list[str]:
    """A recipe's flags as words of a command line."""
    values = read_recipe(name).items()
    return flag_words({flag: value for flag, value in values if not flag.startswith("_") and flag not in left_out})
