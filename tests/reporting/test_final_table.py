"""The table at the end of a command."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from logitmix_hf.data.roles import name_judged
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.table import result_row, results_table
from logitmix_hf.training import judge as outcome

RESULTS = {"eval_accuracy": 0.81234, "eval_ece": 0.05, "eval_oe": 0.04, "eval_nll": 0.4, "eval_mm_accuracy": 0.5}
KNOWN = {**RESULTS, "eval_true_calibration_error": 0.03, "eval_bayes_accuracy": 0.9}


def row(method="logitmix", results=RESULTS, folder="runs/x", **more):
    return result_row(method, results, "accuracy", seconds=12.3, folder=folder, **more)


def test_columns_of_the_contract_in_order():
    head, _, line = results_table([row()]).splitlines()
    assert head.split() == ["method", "accuracy", "ECE", "OE", "NLL", "seconds", "folder"]
    assert line.split() == ["logitmix", "0.8123", "0.0500", "0.0400", "0.4000", "12", "runs/x"]


TOLD = {**RESULTS, "eval_samples": 1234, "eval_confidence_gap": 0.021}
ENDS = {"level": 0.95, "eval": {"accuracy": [0.79, 0.8333333]}}


def test_rows_interval_and_signed_gap():
    head, _, line = results_table([row(results=TOLD, intervals=ENDS)]).splitlines()
    assert head.split() == ["method", "n", "accuracy", "95", "%", "ECE", "gap", "OE", "NLL", "seconds", "folder"]
    assert line.split()[:7] == ["logitmix", "1,234", "0.8123", "[0.7900,", "0.8333]", "0.0500", "+0.0210"]
    under = results_table([row(results={**TOLD, "eval_confidence_gap": -0.021})]).splitlines()[2]
    assert " -0.0210 " in under
    other = result_row("vanilla", {"eval_pearson": 0.8, "eval_samples": 7}, "pearson", seconds=1, folder="f")
    assert "0.8123 accuracy" in results_table([row(results=TOLD), other])


def test_intervals_without_room_stand_below():
    everything = {**TOLD, **KNOWN}
    text = results_table([row("logitmix middle, T = 1.25", everything, "runs/a-b-c", intervals=ENDS)])
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[-3:] == ["seconds: 12", "95 % interval: [0.7900, 0.8333]", "folder: runs/a-b-c"]
    two = [row("vanilla", everything, "r" * 90, intervals=ENDS), row("logitmix middle, T = 1.25", everything, "r" * 90)]
    assert "vanilla, 95 % interval: " in results_table(two)


def test_a_known_posterior_adds_its_columns():
    head = results_table([row(results=KNOWN)]).splitlines()[0]
    assert "true error" in head
    assert "Bayes acc" in head


def test_numbers_stand_under_each_other():
    lines = results_table([row("a"), row("a much longer name")]).splitlines()
    assert lines[2].index("0.8123") == lines[3].index("0.8123") == lines[0].index("accuracy") + 2


@pytest.mark.parametrize("length", [10, 60, 300])
@pytest.mark.parametrize("results", [RESULTS, KNOWN])
def test_fits_100_columns_and_never_cuts_a_path(length, results):
    folder = "runs/" + "x" * length
    text = results_table([row(m, results, f"{folder}-{m[:3]}") for m in ("vanilla", "mixup", "logitmix layer.3")])
    assert all(text.count(f"{folder}-{m}") == 1 for m in ("van", "mix", "log"))
    for line in text.splitlines():
        assert len(line) <= 100 or f" {folder}" in line
    assert all(len(line) <= 100 for line in text.splitlines()[:5])


def test_what_nobody_has_is_no_column_and_what_one_lacks_is_a_dash():
    text = results_table([result_row("vanilla", {"eval_pearson": 0.8}, "pearson", seconds=None, folder="f")])
    assert text.splitlines()[0].split() == ["method", "pearson", "folder"]
    two = results_table([row(), row("mixup", {"eval_accuracy": 0.5, "eval_ece": float("nan")})])
    assert two.splitlines()[3].split() == ["mixup", "0.5000", "–", "–", "–", "12", "runs/x"]


def test_different_headlines_say_their_own_name():
    other = result_row("vanilla", {"eval_pearson": 0.8}, "pearson", seconds=1, folder="f")
    lines = results_table([row(), other]).splitlines()
    assert "score" in lines[0]
    assert "0.8123 accuracy" in lines[2]
    assert "0.8000 pearson" in lines[3]


def test_the_second_split_of_mnli():
    assert row(prefix="eval_mm")["score"] == 0.5


def test_rows_of_one_run_name_its_folder_once():
    folder = "runs/" + "x" * 80
    text = results_table([row(m, RESULTS, folder) for m in ("uncalibrated", "T = 1.4", "isotonic")])
    assert text.count(folder) == 1
    assert text.endswith(f"folder: {folder}")


def test_two_judged_splits_are_told_apart(tmp_path, monkeypatch, capsys):
    """MNLI has a matched and a mismatched one; with one split its name would say nothing."""
    monkeypatch.setattr(outcome, "write_last_card", lambda folder: None)
    folder = RunFolder(tmp_path / "run")
    folder.claim()
    folder.write_json("eval_results.json", {"eval_accuracy": 0.75, "eval_mm_accuracy": 0.5})
    job = SimpleNamespace(
        training=SimpleNamespace(do_train=False, do_eval=True),
        run=SimpleNamespace(bins=15),
        label="vanilla",
        member_names=(),
    )
    for splits, expected in ((("matched", "mismatched"), True), (("validation",), False)):
        judged = name_judged({one: one for one in splits}, {"mismatched": "eval_mm"})
        data = SimpleNamespace(judged=judged, tested=(), metrics=("accuracy",))
        assert outcome.finish(folder, job, data, 0.0, None) == 0  # type: ignore[arg-type]
        printed = capsys.readouterr().out
        assert ("vanilla, matched " in printed and "vanilla, mismatched " in printed) == expected
        assert ("vanilla, validation" in printed) is False
