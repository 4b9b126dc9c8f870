"""Flags are read as transformers' own parser reads them, and what is wrong ends in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import HfArgumentParser, TrainingArguments

from logitmix_hf.cli import COMMANDS
from logitmix_hf.cli import main as logitmix
from logitmix_hf.errors import UserError
from logitmix_hf.flags import FlagParser, flag, word, words


@dataclasses.dataclass(frozen=True)
class Some:
    """Every type that a settings class of ours has. No metadata but the help, so that the other parser takes it too."""

    name: str = dataclasses.field(default="a", metadata={"help": "a word"})
    some_rate: float = dataclasses.field(default=0.5, metadata={"help": "100 %% of it"})
    rows: int | None = dataclasses.field(default=None, metadata={"help": "rows", "aliases": ["--max_rows"]})
    side: Literal["left", "right"] = dataclasses.field(default="left", metadata={"help": "a side"})
    way: Literal["up", "down"] | None = dataclasses.field(default=None, metadata={"help": "a way, or none"})
    off_now: bool = dataclasses.field(default=False, metadata={"help": "a switch"})
    on_now: bool = dataclasses.field(default=True, metadata={"help": "a switch that is on"})
    maybe: bool | None = dataclasses.field(default=None, metadata={"help": "yes, no or neither"})
    weights: list[float] | None = dataclasses.field(default=None, metadata={"help": "numbers"})
    names: list[str] = dataclasses.field(default_factory=list, metadata={"help": "words"})


WORDS = {
    "name": ["x", "a b", "1"],
    "some_rate": ["1", "1e-3", ".5", "nan", "half"],
    "rows": ["3", "3.0", "three"],
    "side": ["left", "right", "top"],
    "way": ["up", "side"],
    "off_now": ["true", "no", "F", "1", "perhaps", None],
    "on_now": ["false", "YES", None],
    "maybe": ["true", "0", "x"],
    "weights": ["1", "1 2 .5", "1 x"],
    "names": ["a", "a b"],
}


def spelt(name: str, value: str | None, dashes: bool) -> list[str]:
    """One flag and its value as words; a list is several of them, None a switch without a value."""
    values = [] if value is None else value.split(" ") if name in ("weights", "names") else [value]
    return [f"--{name.replace('_', '-') if dashes else name}", *values]


SPELT = st.sampled_from(sorted(WORDS)).flatmap(
    lambda name: st.builds(spelt, st.just(name), st.sampled_from(WORDS[name]), st.booleans())
)


def theirs(argv: list[str]) -> Any:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return HfArgumentParser(Some, allow_abbrev=False).parse_args_into_dataclasses(argv)[0]
    return None


def ours(argv: list[str]) -> Any:
    try:
        return FlagParser([Some]).parse(argv)[0]
    except UserError:
        return None


@given(st.lists(st.one_of(SPELT, st.sampled_from([["--no_on_now"], ["--no-on-now"], ["--max_rows", "7"]])), max_size=5))
@settings(max_examples=300, deadline=None)
def test_flags_are_read_as_transformers_reads_them(parts: list[list[str]]) -> None:
    argv = [one for part in parts for one in part]
    # By their text: a number that is none is not equal to itself.
    assert str(ours(argv)) == str(theirs(argv))


@dataclasses.dataclass(frozen=True)
class Grouped:
    place: str | None = word("PLACE", "where")
    alpha: float = flag("mixing", 1.0, {"text": "of texts", "image": "of images"}, "--a")
    only_images: int = dataclasses.field(default=0, metadata={"help": "x", "group": "mixing", "only": "image"})
    quick: bool = flag("speed", False, "quick")
    hidden: int = flag("speed", 3, "not here")


@dataclasses.dataclass(frozen=True)
class Several:
    places: list[str] = words("PLACE", "where")
    size: int = flag("all", 1, "how large")
    quick: bool = flag("all", False, "quick")


@dataclasses.dataclass
class Training(TrainingArguments):
    _argument_group_name = "training"


def shown(parser: FlagParser) -> str:
    return parser.format_help()


def test_groups_stand_in_the_order_of_their_fields_and_training_last() -> None:
    lines = shown(FlagParser([Grouped, Training], prog="x")).splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["positional arguments:", "options:", "mixing:", "speed:", "training:"]
    assert lines[0] == "usage: x PLACE [flags]"
    assert shown(FlagParser([Several], prog="x")).splitlines()[0] == "usage: x PLACE [PLACE ...] [flags]"


def test_a_flag_belongs_to_its_modality_and_may_be_left_out() -> None:
    text, image = FlagParser([Grouped]), FlagParser([Grouped], "image", without=["hidden"])
    assert "of texts" in shown(text)
    assert "of images" not in shown(text)
    assert "of images" in shown(image)
    assert "--only_images" not in shown(text)
    with pytest.raises(UserError, match="There is no flag --only_images"):
        text.parse(["--only_images", "1"])
    assert image.parse(["--only_images", "1"])[0] == Grouped(only_images=1)
    with pytest.raises(UserError, match="There is no flag --hidden"):
        image.parse(["--hidden", "1"])


@pytest.mark.parametrize(
    "argv", [["a", "b", "--size", "2"], ["--size", "2", "a", "b"], ["a", "--size=2", "b"], ["a", "--size", "2", "b"]]
)
def test_words_stand_where_they_like(argv: list[str]) -> None:
    assert FlagParser([Several]).parse(argv) == [Several(["a", "b"], 2)]


def test_a_word_that_is_not_there_is_none() -> None:
    assert FlagParser([Grouped]).parse([]) == [Grouped()]
    assert FlagParser([Several]).parse([]) == [Several()]
    assert FlagParser([Grouped]).parse(["here", "--quick"]) == [Grouped("here", quick=True)]


def test_flags_of_training_reach_the_class_that_is_asked_for() -> None:
    some, training = FlagParser([Grouped, Training]).parse(
        ["--alpha", "2", "--learning_rate", "0.5", "--lr_scheduler_type", "cosine", "--report_to", "none", "--use_cpu"]
    )
    assert some == Grouped(alpha=2)
    assert type(training) is Training
    assert (training.learning_rate, str(training.lr_scheduler_type)) == (0.5, "SchedulerType.COSINE")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--alhpa", "2"], "There is no flag --alhpa. Did you mean '--alpha'?"),
        (["--learning_rat", "2"], "Did you mean '--learning_rate'?"),
        (
            ["--alph", "2"],
            "There is no flag --alph.",
        ),  # no abbreviations: a flag added later would change their meaning
        (["--evaluation_strategy", "no"], "it is --eval_strategy now"),
        (["--alpha", "two"], "--a: invalid float value: 'two'"),
        (["--hidden", "1,000"], "--hidden: a whole number was expected, got '1,000'"),
        (["--hidden", "99999999999999999999"], "--hidden: at most 4294967295 was expected, got 99999999999999999999"),
        (["--quick", "perhaps"], "argument --quick: true or false was expected, got 'perhaps'"),
        (["--alpha"], "expected one argument"),
        (["one", "two"], "'two' belongs to no flag"),
        (["-x"], "'-x' belongs to no flag"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        FlagParser([Grouped, Training], prog="logitmix x").parse(argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "`logitmix x --help`" in str(caught.value) or "eval_strategy" in told


@pytest.mark.parametrize(
    "words",
    [
        "glue --bins 1000000",
        "glue --bootstrap 1000000",
        "glue --folds 1000000",
        "glue --method vwci --vwci 1000000",
        "glue --members 1000000",
        "glue --lora --lora_r 1000000",
        "vision --method mimo --members 1000000",
        "report runs --bins 1000000",
        "report runs --bootstrap 1000000",
        "study table none --draws 10000000",
    ],
)
def test_what_nobody_could_wait_for_is_refused_before_anything_is_read(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A million of each is minutes without a word, or memory that nobody has."""
    assert logitmix(words.split()) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert words.split()[-2].lstrip("-") in told
    assert "at most" in told


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"study"}))  # its parts have the flags
def test_no_flag_is_told_twice(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in two groups, nor once by us and once by transformers; and what a command begins with has a name."""
    with pytest.raises(SystemExit) as end:
        logitmix([command, "--help"])
    assert not end.value.code
    help = capsys.readouterr().out
    flags = [line.split()[0].rstrip(",") for line in help.splitlines() if line.startswith("  --")]
    assert len(flags) == len(set(flags))
    begins = {
        "ensemble": "RUN [RUN ...]",
        "export": "MODEL",
        "inspect": "RUN",
        "push": "RUN",
        "serve": "RUN",
        "card": "RUN",
        "report": "RUN [RUN ...]",
    }
    begin = f" {begins[command]}" if command in begins else ""
    assert help.splitlines()[0] == f"usage: logitmix {command}{begin} [flags]"
    assert not begin or f"\n  {begin.split()[0]} " in help


def test_calibrating_has_no_flags_of_training_ours_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        logitmix(["calibrate", "--help"])
    help = capsys.readouterr().out
    assert "Nothing is trained" in help
    for name in ("--early_stopping", "--resume ", "--recipe"):
        assert name not in help
    for name in ("--save", "--bins", "--protocol", "--overwrite"):
        assert name in help
