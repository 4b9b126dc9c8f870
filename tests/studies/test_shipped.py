"""Every study that is shipped says what it costs, and names as many runs as its table needs."""

from __future__ import annotations

import re

import pytest

from logitmix_hf.cli import main as logitmix
from logitmix_hf.studies.file import SHIPPED

RUNS = {
    "smoke": 2 * 2 * 2,
    "rivals": 6 * 7 * 6,  # tasks, methods, seeds
    "sites": 3 * (2 * 4 + 1) * 6,
    "middle": (2 * 2 + 1) * 10,
    "table1": 6 * 3,
    "table3": 8 * 3 * 6,
    "table5": 3 * 7 * 3,
}


def test_all_are_here_and_begin_with_their_price():
    files = {path.stem: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.yaml")}
    assert set(files) == set(RUNS)
    assert all(re.match(r"# About \d+ (minutes|hours) of (one|a) (CPU core|GPU)", text) for text in files.values())


@pytest.mark.parametrize("name", RUNS)
def test_it_is_read_and_names_its_runs(name, tmp_path, monkeypatch, capsys):
    """With a model that needs no Hub in place of BERT."""
    monkeypatch.chdir(tmp_path)
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(text.replace("google-bert/bert-base-uncased", "builtin"))
    assert logitmix(["study", "words", "own.yaml"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert len(set(lines)) == len(lines) == RUNS[name]
