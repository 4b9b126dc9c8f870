"""The numbers of a report are those of the runs; nothing of a run's own words is taken for markup."""

from __future__ import annotations

import csv
import glob
import io
import re
import shlex
import statistics
from pathlib import Path

import pytest
from reportruns import write_multi, write_regression, write_run

from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.scores import Options
from logitmix_hf.reporting.pages import page
from logitmix_hf.reporting.pages.drawing import label
from logitmix_hf.reporting.pages.page import write_report

QUICK = Options(resamples=100)


def report(folder, runs, options=QUICK):
    return write_report(find_runs(runs), folder, options)


def column(table, head):
    """The cells under a head, by the text of their row's first cell."""
    place = [one.plain or one.text for one in table.heads].index(head)
    return {row[0].text: row[place] for row in table.rows}


def loaded(folder):
    return evaluate_predictions(Predictions.load(folder / "predictions" / "validation.parquet"))


def test_a_method_is_the_mean_of_its_seeds_and_their_standard_deviation(tmp_path):
    runs = [write_run(tmp_path / f"s{seed}", seed=seed) for seed in (1, 2, 3)]
    (section,) = report(tmp_path / "out", runs, Options(resamples=0))
    for head, key in (("accuracy", "accuracy"), ("ECE", "ece"), ("NLL", "nll")):
        values = [loaded(run)[key] for run in runs]
        cell = column(section.scores, head)["vanilla"]
        assert cell.text == f"{statistics.mean(values):.3f}"
        assert cell.small == f"± {statistics.stdev(values):.3f}"
    assert column(section.scores, "seconds")["vanilla"].text == "102"
    assert column(section.scores, "MB")["vanilla"].text == "900"


def test_every_number_of_the_csv_reads_back_in_full(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", "other", "logitmix", 2)]
    report(tmp_path / "out", runs)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text())))
    assert [(line["task"], line["run"], line["seed"]) for line in lines] == [("toy", "a", "1"), ("other", "b", "2")]
    for run, line in zip(runs, lines, strict=True):
        for key in ("accuracy", "ece", "oe", "nll", "brier"):
            assert float(line[key]) == loaded(run)[key]
            assert float(line[f"{key}_low"]) <= float(line[f"{key}_high"])
        assert (line["temperature_source"], line["process_mb"]) == ("halves", "900.0")


def test_tasks_of_every_kind_have_their_own_section_and_nothing_is_mixed(tmp_path):
    runs = [write_run(tmp_path / "single"), write_multi(tmp_path / "multi"), write_regression(tmp_path / "number")]
    single, multi, number = report(tmp_path / "out", runs)
    assert [section.title for section in (single, multi, number)] == [
        f"{task} · validation" for task in ("toy", "tags", "price")
    ]
    assert all(len(section.scores.rows) == 1 for section in (single, multi, number))
    assert number.further is None
    assert number.cards[0].first is None
    assert number.cards[0].training is not None
    assert not number.overview
    assert "pearson" in [head.text for head in number.scores.heads]
    assert "ECE" not in [head.text for head in number.scores.heads]
    assert len(multi.cards[0].first.pictures) == 3  # type: ignore[union-attr]


def test_words_of_a_run_are_never_markup(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>|*x*"
    run = write_run(tmp_path / "<b>run", evil, method=evil)
    report(tmp_path / "out", [run])
    html = (tmp_path / "out" / "report.html").read_text()
    assert "<img" not in html
    assert "<b>run" not in html
    assert html.count("</script>") == 3
    assert "\\|\\*x\\*" in (tmp_path / "out" / "report.md").read_text()


def test_the_page_needs_nothing_but_itself(tmp_path):
    report(tmp_path / "out", [write_run(tmp_path / "a")])
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("plotly.js v") == 1
    ours = html.partition("<script type=")[0] + html.rpartition("</script>")[2]
    assert "src=" not in ours
    assert "http:" not in ours
    assert "https:" not in ours
    assert "default-src 'none'" in ours


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_run_left_out_is_named_in_the_page_and_the_end_is_1(tmp_path, capsys):
    good, bad = write_run(tmp_path / "good"), write_run(tmp_path / "bad")
    (bad / "eval_results.json").unlink()
    words = ["report", str(good), "--output_dir", str(tmp_path / "out"), str(bad), "--bootstrap", "100"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert f"left out {bad}: " in said.err
    assert said.err.rstrip().endswith("error: 1 run left out, see above")
    assert "toy · validation" in said.out
    for name in ("report.html", "report.md"):
        assert str(bad) in (tmp_path / "out" / name).read_text().replace("\\_", "_")
    assert main([*words[:-3], "--bootstrap", "0"]) == 0  # without the bad one, over our own files


def test_the_command_of_the_docs_writes_the_three_files(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^logitmix report .*$", page, re.M)
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b", seed=2)
    monkeypatch.chdir(tmp_path)
    words = [path for word in shlex.split(command)[1:] for path in (sorted(glob.glob(word)) or [word])]
    assert main(words) == 0
    assert sorted(path.name for path in Path("report").iterdir()) == ["report.html", "report.md", "results.csv"]


def test_a_missing_plotly_is_one_line_with_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "NEEDED", "plotly_that_is_not_there")
    assert main(["report", str(write_run(tmp_path / "a")), "--output_dir", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "pip install 'logitmix_hf[report]'" in said[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "needs the folders of runs"),
        (["nowhere"], "There is no 'nowhere'"),
        (["RUN", "--bootstrap", "7"], "too few"),
        (["RUN", "--bins", "0"], "--bins must be"),
        (["RUN", "--outputdir", "x"], "Did you mean '--output_dir'"),
        (["RUN", "--output_dir", "RUN/run.json"], "is a file"),
        (["RUN", "--output_dir", "RUN/run.json/new"], "RUN/run.json' is a file)"),
        (["RUN", "--output_dir", "SITE"], "left alone"),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(tmp_path, capsys, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "RUN")
    (tmp_path / "SITE").mkdir()
    (tmp_path / "SITE" / "report.html").write_text("<html>my own page</html>")
    assert main(["report", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert (tmp_path / "SITE" / "report.html").read_text() == "<html>my own page</html>"
    assert not (tmp_path / "report").exists()


def test_no_cell_of_the_csv_is_a_formula(tmp_path):
    report(tmp_path / "out", [write_run(tmp_path / "=run(1)", "@task", method="-method")])
    (line,) = csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text()))
    assert (line["run"], line["task"]) == ("'=run(1)", "'@task")
    assert not [value for value in line.values() if value[:1] in tuple("=+@")]


def test_a_long_name_is_cut_where_it_tells_nothing_apart():
    names = [f"vanilla, label_smoothing_factor 0.{number}" for number in (0, 1)]
    one, other = (label(name, 34) for name in names)
    assert one != other
    assert len(one) == len(other) == 34
    assert label(names[0]) == names[0]
