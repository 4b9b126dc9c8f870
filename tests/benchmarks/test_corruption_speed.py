"""The benchmark of corruptions: its arithmetic on a clock of our own; nothing is timed."""

from __future__ import annotations

import itertools

import pytest

from benchmarks import corruptions


def test_a_rate_is_of_the_time_of_all():
    """1 and 3 ms an image: two images in 4 ms are 500 a second, not the mean of 1000 and 333."""
    assert corruptions.rates({"one": [1.0, 2.0], "other": [3.0, 2.0]}) == [500.0, 500.0]


def test_every_severity_counts():
    ticks = itertools.count()
    found = corruptions.measure(2, 1, ["fog", "contrast"], clock=lambda: next(ticks) * 0.02)
    assert found == {
        "fog": [pytest.approx(2.0)],
        "contrast": [pytest.approx(2.0)],
    }  # 20 ms for 2 images at 5 severities


def test_check_names_what_was_missed(monkeypatch, capsys):
    for rate, code in ((2100, 0), (1900, 1)):
        monkeypatch.setattr(corruptions, "measure", lambda rows, rounds, rate=rate: {"fog": [1000 / rate]})
        assert corruptions.main(["--check"]) == code
    assert "missed: 1,900 images a second" in capsys.readouterr().err
