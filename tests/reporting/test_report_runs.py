"""A report reads what is whole, names what is not, and sets side by side only what was judged on the same rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reportruns import change_json, labels_of, logits_of, write_json, write_run

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.reporting.comparison.grouping import group
from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.temperature import HALVES, OWN, temper


def half_written(folder):
    change_json(folder / "run.json", status="running", seconds=None)
    (folder / "eval_results.json").unlink()


def cut_json(folder):
    path = folder / "run.json"
    path.write_text(path.read_text()[:40])


def cut_parquet(folder):
    path = folder / "predictions" / "validation.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def no_predictions(folder):
    (folder / "predictions" / "validation.parquet").unlink()


def of_another_run(folder):
    change_json(folder / "eval_results.json", eval_accuracy=0.123)


def other_rows(folder):
    values = json.loads((folder / "run.json").read_text())
    values["data"]["splits"]["eval"]["rows"] = 7
    write_json(folder / "run.json", values)


def no_data(folder):
    values = json.loads((folder / "run.json").read_text())
    del values["data"]["splits"]
    write_json(folder / "run.json", values)


def lost_record(folder):
    (folder / "run.json").unlink()


def cut_state(folder):
    (folder / "trainer_state.json").write_text('{"log_history": [')


DAMAGE = {
    half_written: "not finished",
    cut_json: "cannot be read as JSON",
    cut_parquet: "not a file that Predictions.save wrote",
    no_predictions: "no predictions file",
    of_another_run: "of another run",
    other_rows: "speaks of 7",
    no_data: "it judged nothing",
    lost_record: "has no run.json",
    cut_state: "cannot be read as JSON",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_run_is_named_with_its_reason_and_the_others_are_read(tmp_path, damage):
    good, bad = write_run(tmp_path / "good"), write_run(tmp_path / "bad", seed=2)
    damage(bad)
    found = find_runs([good, bad])
    assert [run.name for run in found.runs] == ["good"]
    ((path, reason),) = found.skipped
    assert path == str(bad)
    assert DAMAGE[damage] in reason
    assert "\n" not in reason


def test_what_is_no_run_is_passed_over_and_a_folder_given_twice_counts_once(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "run.log").write_text("epoch 1")
    (tmp_path / "notes").mkdir()
    found = find_runs([run, tmp_path / "run.log", tmp_path / "notes", tmp_path / "notes" / ".." / "run"])
    assert len(found.runs) == 1
    assert found.passed == [str(tmp_path / "run.log"), str(tmp_path / "notes")]
    assert found.skipped == []


def test_the_folder_of_a_study_means_its_runs(tmp_path):
    write_run(tmp_path / "runs" / "b", "rte", "vanilla", 1)
    write_run(tmp_path / "runs" / "a", "rte", "mixup", 1)
    (tmp_path / "study.json").write_text("{}")
    assert [run.name for run in find_runs([tmp_path, tmp_path / "runs" / "a"]).runs] == ["a", "b"]


def test_a_path_that_is_not_there_and_paths_without_a_run_are_mistakes(tmp_path):
    with pytest.raises(UserError, match="There is no '.*nothing'"):
        find_runs([write_run(tmp_path / "run"), tmp_path / "nothing"])
    half_written(tmp_path / "run")
    with pytest.raises(UserError, match="None of the 1 paths .* not finished"):
        find_runs([tmp_path / "run"])


def test_runs_on_other_rows_are_another_task_though_its_name_is_the_same(tmp_path):
    runs = [
        write_run(tmp_path / "a", "toy"),
        write_run(tmp_path / "b", "other"),
        write_run(tmp_path / "c", "toy", seed=2),
        write_run(tmp_path / "d", "toy", labels=1 - labels_of("toy"), seed=3),
        write_run(tmp_path / "e", "toy", labels=labels_of("toy", 50)),
    ]
    tasks = group(find_runs(runs).runs)
    assert [[member.run.name for member in task.members] for task in tasks] == [["a", "c"], ["b"], ["d"], ["e"]]
    assert len({task.title for task in tasks}) == 4


def test_only_runs_that_differ_by_the_seed_are_one_method(tmp_path):
    runs = [
        write_run(tmp_path / "s1", seed=1),
        write_run(tmp_path / "s2", seed=2),
        write_run(tmp_path / "again", seed=2),
        write_run(tmp_path / "fast", seed=1, arguments={"learning_rate": 1e-3}),
        write_run(tmp_path / "mixed", method="logitmix", seed=1),
    ]
    (task,) = group(find_runs(runs).runs)
    names = [[member.run.name for member in variant.members] for variant in task.variants]
    assert names == [["s1", "s2"], ["again"], ["fast"], ["mixed"]]
    labels = [variant.label for variant in task.variants]
    assert len(set(labels)) == 4
    assert "learning_rate 0.001" in labels[2]
    assert labels[3] == "logitmix layer.1"


def test_an_own_temperature_is_undone_to_the_logits_before_it(tmp_path):
    """T is a power of two, so that dividing by it and multiplying again gives the same bits."""
    labels = labels_of("toy")
    raw = logits_of(labels, 5, sharp=8.0)
    plain = write_run(tmp_path / "plain", logits=raw, labels=labels)
    own = write_run(tmp_path / "own", logits=raw / 4, labels=labels, temperature=4.0)
    (without, with_own) = find_runs([plain, own]).runs
    halves, told = (temper(run, run.splits["eval"][1]) for run in (without, with_own))
    assert halves is not None
    assert told is not None
    assert (halves.source, told.source, told.value) == (HALVES, OWN, 4.0)
    np.testing.assert_array_equal(told.before.logits, halves.before.logits)
    assert "a share of train, 200 rows" in told.fitted
    assert evaluate_predictions(told.after)["nll"] == evaluate_predictions(with_own.splits["eval"][1])["nll"]


def test_a_run_by_halves_kept_its_logits_before_them(tmp_path):
    """No single number leads back from two temperatures."""
    labels = labels_of("toy")
    raw = logits_of(labels, 5)
    halves = np.where(np.arange(len(labels)) % 2, 3.0, 1.5)[:, None]
    folder = write_run(tmp_path / "a", logits=raw / halves, labels=labels, temperature=2.25)
    kept = Predictions(logits=raw, labels=labels, label_names=("no", "yes"))
    kept.save(folder / "predictions" / "calibration.parquet")
    (run,) = find_runs([folder]).runs
    told = temper(run, run.splits["eval"][1])
    assert told is not None
    np.testing.assert_array_equal(told.before.logits, kept.logits)


def test_halves_judge_rows_by_a_temperature_that_never_saw_them(tmp_path):
    """Each row is divided by one of two numbers, and turning one half's labels round moves the other half's alone."""
    labels = labels_of("toy")
    raw = logits_of(labels, 5)
    (run,) = find_runs([write_run(tmp_path / "a", logits=raw, labels=labels)]).runs
    first = temper(run, run.splits["eval"][1])
    assert first is not None
    ratio = raw.max(1) / first.after.logits.max(1)
    low = ratio < np.mean([ratio.min(), ratio.max()])
    assert {round(value, 3) for value in ratio} == {round(ratio.min(), 3), round(ratio.max(), 3)}
    turned = np.where(low, 1 - labels, labels)
    (run,) = find_runs([write_run(tmp_path / "b", logits=raw, labels=turned)]).runs
    second = temper(run, run.splits["eval"][1])
    assert second is not None
    again = raw.max(1) / second.after.logits.max(1)
    np.testing.assert_allclose(again[low], ratio[low], rtol=1e-4)
    assert np.all(again[~low] > 1.5 * ratio[~low])
