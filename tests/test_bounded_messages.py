"""With thousands of labels, or a label of thousands of letters, a message stays one line that can be read."""

from __future__ import annotations

import pytest

from logitmix_hf.arguments import MixArguments
from logitmix_hf.class_weights import weights_in_order
from logitmix_hf.cli import main
from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.errors import UserError, check_choice, listed, pick
from logitmix_hf.process import guarded
from logitmix_hf.reporting.record import check_same_arguments

MANY = [f"label number {number}" for number in range(5000)]
LONG = ["x" * 50_000, "y" * 50_000]

CALLS = {
    "pick": lambda names: pick(dict.fromkeys(names), "zzz", "class"),
    "picked": lambda names: pick({"a": 1}, names[0], "class"),
    "choice": lambda names: check_choice("label", "zzz", names),
    "chosen": lambda names: check_choice("label", names[0], ["a"]),
    "match": lambda names: match_labels(names, ["other", "labels"]),
    "matched": lambda names: match_labels(["other", "labels"], names),
    "weights": lambda names: weights_in_order([1.0, 2.0, 3.0], names, None),
    "weighed": lambda names: weights_in_order({"zzz": 1.0}, names, None),
    "resumed": lambda names: check_same_arguments({"text": names}, {"text": names[::-1]}),
}


@pytest.mark.parametrize("names", [MANY, LONG], ids=["many", "long"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_mistake_among_many_or_long_names(call, names, capsys):
    with pytest.raises(UserError) as mistake:
        call(names)
    assert 20 < len(str(mistake.value)) < 2000
    assert guarded(lambda: call(names)) == 2
    assert capsys.readouterr().err == f"error: {mistake.value}\n"


def test_whoever_forgets_it_is_cut_in_the_middle(capsys):
    def command() -> int:
        raise UserError(f"These exist: {', '.join(MANY)}. Take one of them.")

    assert guarded(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= 2010
    assert line.startswith("error: These exist: label number 0, ")
    assert " … " in line
    assert line.endswith("label number 4999. Take one of them.")


def test_a_few_names_are_all_told():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(["a", "b"], quote=False) == "a, b"
    assert listed(MANY, 2) == "'label number 0', 'label number 1' and 4998 more"
    with pytest.raises(UserError, match="Did you mean 'cutmix'"):
        MixArguments(mixer="cutmx")


def test_a_flag_of_thousands_of_letters(capsys):
    assert main(["glue", "--task", "t" * 30_000]) == 2
    assert main(["x" * 30_000]) == 2
    assert main(["glue", "--" + "y" * 30_000]) == 2
    assert all(len(line) < 2100 for line in capsys.readouterr().err.splitlines())
