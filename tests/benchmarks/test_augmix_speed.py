"""The benchmark of AugMix: its bar on numbers of our own; nothing is timed."""

from __future__ import annotations

from benchmarks import augmix


def test_check_names_the_form_that_missed(monkeypatch, capsys):
    times = {"original": ([0.2, 0.2, 0.1], [1.0, 1.2, 0.1]), "mixmo": ([0.2, 0.2, 0.2], [0.9, 0.9, 9.0])}
    monkeypatch.setattr(augmix, "measure", lambda form, batch, rounds: times[form])
    assert augmix.main(["--check"]) == 1
    told = capsys.readouterr()
    assert told.err == "missed: mixmo is 4.5 times as fast, the bar is 5\n"  # the median of the rounds
    assert "| original | 0.200 | 1.000 | 5.0 | 1.0 to 6.0 |" in told.out
    assert augmix.main([]) == 0


def test_both_sides_run():
    ours, theirs = augmix.measure("mixmo", 4, 1)
    assert len(ours) == len(theirs) == 1
