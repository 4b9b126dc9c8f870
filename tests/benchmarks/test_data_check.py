"""The benchmark of the check: its file and its bar; nothing is timed."""

from __future__ import annotations

import csv

from benchmarks import data_check


def test_the_file_has_as_many_rows_as_it_says(tmp_path):
    data_check.write_rows(tmp_path / "rows.csv", 10_050)
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10_050
    assert {len(row["text"].split()) for row in rows} == {12}
    assert len({row["label"] for row in rows}) == 5


def test_the_bar_goes_with_the_rows(monkeypatch, capsys):
    monkeypatch.setattr(data_check, "cpu_seconds", lambda words: 0.19)
    assert data_check.main(["--rows", "10000", "--rounds", "1", "--check"]) == 0
    monkeypatch.setattr(data_check, "cpu_seconds", lambda words: 0.21)
    assert data_check.main(["--rows", "10000", "--rounds", "1", "--check"]) == 1
    assert "the bar is 20 s" in capsys.readouterr().err
