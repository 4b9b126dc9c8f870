"""A mark is earned over seeds and rows: bold by interval and exact test, ° by the interval of too few seeds for a test."""

from __future__ import annotations

import re

import numpy as np
import pytest
from reportruns import labels_of, logits_of, write_run
from scipy import stats

from logitmix_hf.cli import main
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.scores import Options
from logitmix_hf.reporting.pages.page import write_report

pytest.importorskip("plotly")

LOGITMIX = "logitmix layer.1"


def sections(folder, runs, resamples=100):
    return write_report(find_runs(runs), folder / "out", Options(resamples=resamples))


def column(table, head):
    """The cells under a head, by the text of their row's first cell."""
    place = [one.plain or one.text for one in table.heads].index(head)
    return {row[0].text: row[place] for row in table.rows}


def mark(cell) -> str:
    return "bold" if cell.strong else "°" if cell.text.endswith("°") else ""


def marks(table) -> set[str]:
    return {mark(cell) for row in table.rows for cell in row} - {""}


def two_methods(folder, right, *, seeds=None, task="toy", rows=300):
    """Runs of two methods whose accuracy is about as given, seed by seed. The same seed finds the same rows easy."""
    labels = labels_of(task, rows)
    return [
        write_run(
            folder / f"{task}-{method}-{seed}",
            task,
            method,
            seed,
            labels=labels,
            logits=logits_of(labels, seed, share),
        )
        for number, (method, shares) in enumerate(zip(("vanilla", "logitmix"), right, strict=True))
        for seed, share in zip(seeds[number] if seeds else range(1, 1 + len(shares)), shares, strict=True)
    ]


@pytest.mark.parametrize(
    ("right", "marked", "p"),
    [
        (([0.6] * 6, [0.95] * 6), "bold", "p = 0.0312: supported"),  # all of 64 flips but two are less far from 0
        (
            ([0.6] * 5 + [0.97], [0.95] * 6),
            "",
            "p = 0.0625: not supported",
        ),  # one seed the other way round: four are not
        (([0.6] * 5, [0.95] * 5), "°", "p = 0.0625: interval only"),
        (([0.6, 0.6], [0.95, 0.95]), "°", "p = 0.5000: interval only"),
        (([0.6, 0.9], [0.95, 0.95]), "", "p = 0.5000: not supported"),  # two seeds that differ so widely say nothing
        (([0.6], [0.95]), "°", "rows alone: interval only"),
    ],
)
def test_bold_needs_interval_and_exact_test_and_few_seeds_have_a_mark_of_their_own(tmp_path, right, marked, p):
    (section,) = sections(tmp_path, two_methods(tmp_path, right))
    cells = column(section.scores, "accuracy")
    assert mark(cells["vanilla"]) == ""
    assert mark(cells[LOGITMIX]) == marked
    assert cells[LOGITMIX].title.endswith(p)
    text, found = (tmp_path / "out" / "report.md").read_text(), cells[LOGITMIX].text
    assert (f"**{found}**" in text) == (marked == "bold")
    few = len(right[0]) < 6
    assert ("nothing is bold" in section.scores.remark) == few
    assert ("Fewer than two seeds in common" in section.scores.remark) == (len(right[0]) == 1)
    assert all((section.scores.remark in file) == few for file in (text,) if section.scores.remark)
    assert (section.scores.remark in (tmp_path / "out" / "report.html").read_text()) or not few


def test_two_hundredths_are_too_little_for_300_rows(tmp_path):
    (section,) = sections(tmp_path, two_methods(tmp_path, ([0.90], [0.92]), seeds=((1,), (2,))))
    assert marks(section.scores) == set()
    assert any("rows alone: not supported" in cell.title for row in section.scores.rows for cell in row)


def test_seeds_are_paired_by_number_and_not_by_the_order_of_the_folders(tmp_path):
    """What a seed does to both methods is ten times what the method does: only the same seeds tell the two apart."""
    shares = [0.55, 0.62, 0.69, 0.76, 0.83, 0.9]
    runs = two_methods(tmp_path, (shares, [share + 0.05 for share in shares]))
    (section,) = sections(tmp_path, [*runs[:6], *reversed(runs[6:])])
    assert mark(column(section.scores, "accuracy")[LOGITMIX]) == "bold"


def ends(title: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]\d\.\d{4}", title)]


@pytest.mark.parametrize(
    "seeds", [((1, 2, 3), (4, 5, 6)), ((1, 2, 3), (3, 4, 5)), ((None, 2), (None, 3))], ids=["none", "one", "unknown"]
)
def test_without_two_seeds_in_common_rows_alone_are_drawn_and_the_table_says_so(tmp_path, seeds):
    """The interval is then that of SciPy's bootstrap for the mean over rows of how often one is right minus the other."""
    rows = 400
    labels, right, runs = labels_of("toy", rows), [], []
    for method, share, own in (("vanilla", 0.7, seeds[0]), ("logitmix", 0.8, seeds[1])):
        logits = [logits_of(labels, 10 * len(method) + place, share) for place in range(len(own))]
        right.append(np.mean([each.argmax(axis=1) == labels for each in logits], axis=0))
        runs += [
            write_run(
                tmp_path / f"{method}-{place}", "toy", method, 1, labels=labels, logits=each, seeds={"seed": seed}
            )
            for place, (seed, each) in enumerate(zip(own, logits, strict=True))
        ]
    (section,) = sections(tmp_path, runs, resamples=1000)
    cell = column(section.scores, "accuracy")[LOGITMIX]
    difference = right[1] - right[0]
    found = stats.bootstrap((difference,), np.mean, method="percentile", n_resamples=1000, rng=1).confidence_interval
    assert ends(cell.title) == pytest.approx([difference.mean(), found.low, found.high], abs=0.008)
    assert cell.title.endswith("rows alone: interval only")
    said = f"Fewer than two seeds in common: {LOGITMIX} and vanilla. There nothing is bold, and ° says"
    assert said in section.scores.remark
    assert said in (tmp_path / "out" / "report.html").read_text()
    assert said in (tmp_path / "out" / "report.md").read_text()


def test_of_seeds_that_overlap_the_shared_ones_count(tmp_path):
    runs = two_methods(tmp_path, ([0.6] * 6, [0.9] * 6), seeds=(range(1, 7), range(4, 10)))
    (section,) = sections(tmp_path, runs)
    cell = column(section.scores, "accuracy")[LOGITMIX]
    assert "3 seeds, p = 0.2500" in cell.title
    assert "in common" not in section.scores.remark


def test_the_first_score_is_corrected_over_the_tasks_of_the_page_and_the_others_are_exploratory(tmp_path):
    """Holm: of two tests with p = .03125 each, the lower one is doubled, and the other is not below it."""
    right = ([0.6] * 6, [0.95] * 6)
    runs = two_methods(tmp_path, right) + two_methods(tmp_path, right, task="another")
    for section in sections(tmp_path, runs):
        cell = column(section.scores, "accuracy")[LOGITMIX]
        assert cell.title.endswith("p = 0.0312, after Holm 0.0625: not supported")
        assert mark(cell) == ""
        assert mark(column(section.scores, "NLL")[LOGITMIX]) == "bold"


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_a_small_gap_is_not_marked_where_the_same_model_tells_rows_apart_least(tmp_path, spread, count):
    """One model says the share of the classes and little else: it is calibrated, and its NLL is that of a coin. The other is
    right nine times of ten and far too modest, or about right."""
    labels, runs = labels_of("toy", 600), []
    for seed in range(1, 1 + count):
        coin = np.random.default_rng(seed).normal(0, 0.01, (len(labels), 2))
        knows = np.where(np.random.default_rng(50 + seed).random(len(labels)) < 0.9, labels, 1 - labels)
        sharp = spread * np.eye(2)[knows] * 1.7
        runs += [
            write_run(tmp_path / f"{method}-{seed}", "toy", method, seed, labels=labels, logits=logits)
            for method, logits in (("vanilla", sharp), ("logitmix", coin))
        ]
    (section,) = sections(tmp_path, runs)
    ece = column(section.scores, "ECE")
    assert mark(ece[LOGITMIX]) == ""
    assert mark(column(section.scores, "NLL")["vanilla"]) == ("bold" if count == 6 else "°")
    if spread == 0.3:  # too modest by a quarter: the coin's gap is the smaller one, beyond doubt
        assert float(ece[LOGITMIX].value) < float(ece["vanilla"].value)
        assert (
            "not marked: its NLL is the worst of all, and the interval there has vanilla before it"
            in ece[LOGITMIX].title
        )


@pytest.mark.parametrize(("wrongly_sure", "worst", "count"), [(4.0, False, 6), (40.0, True, 6), (40.0, True, 1)])
def test_an_accuracy_is_marked_unless_the_same_method_has_the_worst_nll(tmp_path, wrongly_sure, worst, count):
    """By hand, of 400 rows: 100 wrong by one logit, NLL .25 log(1 + e) + .75 log(1 + 1/e) = .5633, against 20 wrong by ``d``
    logits, NLL .05 log(1 + e^d) + .95 log(1 + e^-d): .2181 of four, 2.0000 of forty."""
    labels, runs = labels_of("toy", 400), []
    for method, wrong, size in (("vanilla", 100, 1.0), ("logitmix", 20, wrongly_sure)):
        for seed in range(1, 1 + count):
            missed = np.random.default_rng(seed).permutation(400) < wrong
            logits = size * np.eye(2)[np.where(missed, 1 - labels, labels)]
            runs.append(write_run(tmp_path / f"{method}-{seed}", "toy", method, seed, labels=labels, logits=logits))
    (section,) = sections(tmp_path, runs)
    accuracy, nll = (column(section.scores, head)[LOGITMIX] for head in ("accuracy", "NLL"))
    assert float(accuracy.value) == pytest.approx(0.95)
    assert float(nll.value) == pytest.approx(2.0 if worst else 0.2181, abs=5e-5)
    assert mark(accuracy) == ("" if worst else "bold" if count == 6 else "°")
    assert ("not marked: its NLL is the worst of all" in accuracy.title) == worst
    assert mark(column(section.scores, "NLL")["vanilla"]) == (("bold" if count == 6 else "°") if worst else "")


def test_two_fits_of_a_temperature_for_one_model_are_no_gain(tmp_path):
    """The same logits, by a good and by a poor temperature: as trained they are equal, and what differs is the fit."""
    labels = labels_of("toy", 300)
    raw = logits_of(labels, 3, sharp=6.0)
    runs = [
        write_run(tmp_path / method, method=method, labels=labels, logits=raw / t, temperature=t)
        for method, t in (("vanilla", 1.1), ("logitmix", 2.5))
    ]
    (section,) = sections(tmp_path, runs)
    after = column(section.scores, "NLL at T")
    assert len({cell.text for cell in after.values()}) == 2
    assert marks(section.scores) == set()


def test_equal_runs_have_no_best_and_without_resamples_none_is_marked(tmp_path):
    labels = labels_of("toy")
    same = logits_of(labels, 1)
    runs = [write_run(tmp_path / method, method=method, logits=same) for method in ("vanilla", "logitmix")]
    runs.append(write_run(tmp_path / "poor", method="mixup", logits=logits_of(labels, 1, 0.5)))
    for resamples in (100, 0):
        (section,) = sections(tmp_path, runs, resamples)
        assert not any(mark(cell) for cell in column(section.scores, "accuracy").values())
        assert section.scores.remark == "" or resamples


def test_the_terminal_says_what_its_marks_mean(tmp_path, capsys):
    runs = [str(run) for run in two_methods(tmp_path, ([0.6], [0.95]))]
    assert main(["report", *runs, "--output_dir", str(tmp_path / "out"), "--bootstrap", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("°" in line and line.startswith(LOGITMIX) for line in lines)
    assert "° best by the interval only: too few seeds for a test" in lines
    assert not any(line.startswith("* best") for line in lines)
