"""The benchmark of starting: its bars and its table on numbers of our own; nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks import startup


def test_a_bar_is_one_of_seconds_or_one_of_ratios() -> None:
    assert not startup.Start("card", "help", [1.4, 1.4, 9.0]).missed  # the median counts
    assert startup.Start("card", "help", [1.5, 1.5, 0.1]).missed  # under 1.5
    assert not startup.Start("glue", "help", [9.0], [1.15]).missed  # at most 1.15, whatever the seconds
    assert startup.Start("glue", "help", [0.1], [1.16]).missed


def test_every_command_is_set_against_the_import_of_its_own_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(arguments: list[str], code: int = 0) -> float:
        seen.append((arguments[-1], code))
        turn = sum(words == startup.IMPORT for words, _ in seen) - 1  # the first only warms up
        return [99.0, 2.0, 4.0][turn] * (1.0 if arguments[-1] == startup.IMPORT else 1.5)

    monkeypatch.setattr(startup, "cpu_seconds", counted)
    imports, starts = startup.measure(["report", "glue"], rounds=2)
    assert imports == [2.0, 4.0]
    assert [(start.command, start.words, list(start.seconds), list(start.ratios)) for start in starts] == [
        ("report", "help", [3.0, 6.0], []),
        ("report", "a misspelt flag", [3.0, 6.0], []),
        ("glue", "help", [3.0, 6.0], [1.5, 1.5]),
        ("glue", "a misspelt flag", [3.0, 6.0], [1.5, 1.5]),
    ]
    assert {code for words, code in seen if words == "x"} == {2}
    assert {code for words, code in seen if words == "--help"} == {0}


def test_check_names_what_was_missed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(startup, "cpu_seconds", lambda arguments, code=0: 1.0 if "predict" in arguments else 2.0)
    assert startup.main(["--rounds", "1", "--commands", "predict", "glue", "--check"]) == 0
    assert startup.main(["--rounds", "1", "--commands", "predict", "card", "--check"]) == 1
    output = capsys.readouterr()
    assert "missed: logitmix card with help: the bar is under 1.5 s" in output.err
    assert "missed: logitmix predict" not in output.err
    assert "| card | help | 2.00 | 2.00 to 2.00 |  | under 1.5 s MISSED |" in output.out


def test_a_command_that_ends_otherwise_is_no_measurement() -> None:
    assert startup.cpu_seconds(["-c", "pass"]) > 0
    with pytest.raises(RuntimeError, match="ended with 3, not 0"):
        startup.cpu_seconds(["-c", "raise SystemExit(3)"])
