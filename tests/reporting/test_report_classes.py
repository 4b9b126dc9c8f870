"""The classes of each run in a report: numbers by hand, sorted by values, bounded, and no name is taken for markup."""

from __future__ import annotations

import html
import re

import numpy as np
from reportruns import write_regression, write_run

from logitmix_hf.evaluation import MULTI
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.scores import Options
from logitmix_hf.reporting.pages import classes
from logitmix_hf.reporting.pages.page import write_report


def written(folder, *runs) -> tuple[str, str]:
    """The page and its Markdown."""
    write_report(find_runs(runs), folder / "out", Options(resamples=0))
    page, text = ((folder / "out" / name).read_text() for name in ("report.html", "report.md"))
    return page, text


def part(page: str, run: str) -> str:
    (found,) = re.findall(rf'<section class="classes">\s*<h4>{run}</h4>.*?</section>', page, re.DOTALL)
    return found


def lines(table: str) -> list[list[str]]:
    """What each row of a table says, the heads first."""
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<(?:th|td)\b[^>]*>(.*?)</(?:th|td)>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells]


def tables(part: str) -> list[list[list[str]]]:
    return [lines(table) for table in re.findall(r"<table.*?</table>", part, re.DOTALL)]


def sure(said, classes: int, share: float) -> np.ndarray:
    """(N, C) logits: the answer has the probability ``share``, the others have equal ones."""
    return np.log(np.where(np.eye(classes)[said] == 1, share, (1 - share) / (classes - 1)))


def test_the_classes_of_each_run_by_hand(tmp_path):
    """Five cats, three dogs, two oxen. Said with .82: cat to four cats, a dog and both oxen, dog to a cat and two dogs.

    ECE of "cat": seven rows say .82 where 4/7 are cats, three say .09 where 1/3 are: .7 |.82 - 4/7| + .3 |.09 - 1/3| = .247.
    """
    labels, said = np.repeat([0, 1, 2], [5, 3, 2]), np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
    names = ("<b>cat</b>", "dog|s", "ox")
    first = write_run(tmp_path / "first", labels=labels, logits=sure(said, 3, 0.82), names=names)
    other = write_run(tmp_path / "other", method="mixup", labels=labels, logits=sure(labels, 3, 0.82), names=names)
    page, text = written(tmp_path, first, other)
    found = part(page, "first")
    assert "F1 macro 0.4444, balanced accuracy 0.4889." in found  # (2/3 + 2/3 + 0) / 3 and (4/5 + 2/3 + 0) / 3
    scores, confusion = tables(found)
    assert scores == [
        ["class", "rows", "precision", "recall", "F1", "ECE"],
        ["<b>cat</b>", "5", "0.5714", "0.8000", "0.6667", "0.2470"],
        ["dog|s", "3", "0.6667", "0.6667", "0.6667", "0.0830"],
        ["ox", "2", "–", "0.0000", "0.0000", "0.1100"],
    ]
    assert confusion == [
        ["true class", "as <b>cat</b>", "as dog|s", "as ox"],
        ["<b>cat</b>", "4", "1", "0"],
        ["dog|s", "1", "2", "0"],
        ["ox", "2", "0", "0"],
    ]
    assert "<b>cat" not in page
    assert found.count('class="sortable"') == 2
    assert 'data-value="0.5714285714285714">0.5714<' in found
    assert re.search(r'data-value="">–<', found)  # unknown, so last either way
    assert "F1 macro 1.0000, balanced accuracy 1.0000." in part(page, "other")
    assert text.count("### Classes of ") == 2
    assert re.search(r"^\| class \| rows \| precision \| recall \| F1 \| ECE \|$", text, re.MULTILINE)
    assert "| 4 | 1 | 0 |" in text


def test_of_many_classes_the_largest_are_shown_and_the_rest_counted(tmp_path):
    """130 classes, more than a file keeps the whole matrix of: of 2 rows those from 100 to 119, of 1 all others."""
    sizes = np.ones(130, dtype=int)
    sizes[100:120] = 2
    labels = np.repeat(np.arange(130), sizes)
    said = np.where(labels == 100, 0, labels)
    said[np.flatnonzero(labels == 101)[0]] = 102
    names = tuple(f"c{k}" for k in range(130))
    page, _ = written(tmp_path, write_run(tmp_path / "run", labels=labels, logits=sure(said, 130, 0.9), names=names))
    found = part(page, "run")
    assert "These are the 20 largest classes; the other 110 have 110 rows." in found
    scores, confusion = tables(found)
    shown = [f"c{k}" for k in range(100, 120)]
    assert [row[0] for row in scores[1:]] == shown
    assert confusion[0] == ["true class", *(f"as {name}" for name in shown), "as another"]
    assert confusion[1] == ["c100", *["0"] * 20, "2"]
    assert confusion[2] == ["c101", "0", "1", "1", *["0"] * 18]
    assert scores[3][:5] == ["c102", "2", "0.6667", "1.0000", "0.8000"]


def test_of_several_labels_a_row_each_has_its_four_counts_and_a_regression_has_no_classes(tmp_path):
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [0, 0]])
    said = np.array([[1, 0], [0, 0], [1, 0], [1, 0], [0, 0]])
    multi = write_run(tmp_path / "multi", "tags", labels=labels, logits=4.0 * said - 2, problem=MULTI)
    page, _ = written(tmp_path, multi, write_regression(tmp_path / "number"))
    _, counts = tables(part(page, "multi"))
    assert counts == [
        ["class", "hits", "false alarms", "misses", "rightly none"],
        ["no", "1", "2", "1", "1"],
        ["yes", "0", "0", "1", "4"],
    ]
    assert page.count('<section class="classes">') == 1


def test_of_many_runs_the_first_seed_of_every_method_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "MOST_RUNS", 2)
    runs = [write_run(tmp_path / f"vanilla-{seed}", seed=seed) for seed in (1, 2)]
    page, text = written(tmp_path, *runs, write_run(tmp_path / "mixed", method="mixup"))
    assert re.findall(r'<section class="classes">\s*<h4>(.*?)</h4>', page) == ["vanilla-1", "mixed"]
    for file in (page, text):
        assert "Runs that are not told of here: 1; " in file
